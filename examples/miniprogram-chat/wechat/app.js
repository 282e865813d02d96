// One connection for the whole program: pages come and go, it stays.
const chat = require("./chat.js");

App({
    onLaunch() {
        chat.start(wx, "ws://127.0.0.1:8765/");
    },
});
