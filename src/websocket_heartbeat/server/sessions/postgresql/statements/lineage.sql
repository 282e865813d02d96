-- What changes whenever acknowledged writes may be forgotten: another cluster, or another line of its history.
-- The timeline is that of the write-ahead log, as the control file has it only after a checkpoint. A server that
-- does not wait for its disk may have forgotten writes whenever it starts.
select
    system_identifier::text || ' ' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
    || case when current_setting('fsync') = 'on' then '' else ' ' || pg_postmaster_start_time()::text end
from pg_control_system()
