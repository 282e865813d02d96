// Sends numbered messages over a session and takes those of the server, in Node, as a page or a mini program does.
// Arguments: a JSON object: library, session (files), kind (page or wx), modules (with ws), url, count, options.
// Prints ["session", kind, why, how many are uncertain] for each, and ["heard", numbers] when all is there: a number
// that is lost, doubled or out of order shows there, and what is not as the server has made it ends the program. Then
// a line on its standard input has it close.
"use strict";
const path = require("path");
const { begin } = require("./ledger.js");

const about = JSON.parse(process.argv[2]);
const say = (...words) => console.log(JSON.stringify(words));
const options = { ...about.options, session: require(about.session)("require") };
const library = require(about.library);

begin(about.kind, library, about.url, options, about.count, say, () => {
    const { WebSocket } = require(path.join(about.modules, "ws"));
    return require("./wx.js")(WebSocket);
}).then(({ heard, close }) => {
    say("heard", heard);
    process.stdin.once("data", () => {
        close();
        process.stdin.destroy();
    });
});
