// graphql-ws's own server of graphql-transport-ws. It sends pings besides, and prints what it is sent.
import { GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

async function* news() {
    for (let number = 1; ; number += 1) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        yield { news: `news ${number}` };
    }
}

const field = (rest) => new GraphQLObjectType({ ...rest, fields: { news: { type: GraphQLString, subscribe: news } } });
const schema = new GraphQLSchema({ query: field({ name: "Query" }), subscription: field({ name: "Subscription" }) });

const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
server.on("connection", (socket) => {
    socket.on("message", (data) => console.log(String(data)));
    socket.on("close", (code) => console.log(JSON.stringify({ type: "closed", code })));
    const timer = setInterval(() => socket.send(JSON.stringify({ type: "ping", payload: { by: "the server" } })), 200);
    socket.on("close", () => clearInterval(timer));
});
// An application that takes its time to let a client in.
useServer({ schema, onConnect: () => new Promise((resolve) => setTimeout(() => resolve(true), 700)) }, server);
server.on("listening", () => console.log(server.address().port));
