-- The tables, version 1. What strangers may name is bytea, as a text has no NUL.
create schema if not exists websocket_heartbeat;
create table websocket_heartbeat.version (version integer not null);
insert into websocket_heartbeat.version values (1);
create table websocket_heartbeat.node (
    name text primary key,
    seen double precision not null  -- by the clock of the database
);
create table websocket_heartbeat.session (
    id text primary key,
    hash bytea not null,
    principal bytea,
    generation bigint not null,
    link bigint not null,
    node text not null,
    lineage text not null,
    window_messages bigint not null,
    window_size bigint not null,
    max bigint not null,
    done bigint not null,
    sent bigint not null,
    acked bigint not null,
    state bytea not null,
    ending bytea,
    deadline double precision,
    rooms jsonb not null,  -- names, quoted, with numbers
    end_kind text,
    end_why bytea,
    forget_at double precision
) with (fillfactor = 70);  -- a write finds room on the page of the row, and changes no index
create index due on websocket_heartbeat.session (deadline) where deadline is not null;
create index held on websocket_heartbeat.session (node) where deadline is null and end_kind is null;
create index tomb on websocket_heartbeat.session (forget_at) where forget_at is not null;
create table websocket_heartbeat.message (
    id text not null,
    number bigint not null,
    data bytea not null,
    primary key (id, number)
);
create table websocket_heartbeat.room (
    name bytea primary key,
    lineage text not null,
    last bigint not null,
    used double precision not null  -- by the clock of the database
) with (fillfactor = 70);
create table websocket_heartbeat.post (
    room bytea not null,
    number bigint not null,
    data bytea not null,
    primary key (room, number)
);
create table websocket_heartbeat.sender (
    room bytea not null,
    name text not null,
    number bigint not null,
    used double precision not null,
    primary key (room, name)
) with (fillfactor = 70);
