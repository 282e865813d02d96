// A place to run a library in, with a clock that only moves when told, and nothing that a mini program lacks.
"use strict";
const fs = require("fs");
const vm = require("vm");

const scripts = {};

function compile(file) {
    const source = fs.readFileSync(file, "utf8").replace(/^export default/m, "module.exports =");
    return new vm.Script(source, { filename: file });
}

class World {
    constructor() {
        this.time = 1000000;
        this.timers = [];
        this.count = 0;
        this.random = 0.5;
        this.uncaught = [];
        this.reported = [];
        this.warnings = [];
    }

    // Load a file as a mini program does, which has no window, global or process. With `globals`, as a page does.
    load(file, globals) {
        const world = this;
        const math = {};
        for (const name of Object.getOwnPropertyNames(Math)) math[name] = Math[name];
        math.random = () => world.random;
        const module = { exports: {} };
        const context = vm.createContext({
            ...globals,
            module,
            exports: module.exports,
            Math: math,
            Date: { now: () => world.time },
            console: {
                error: (error) => world.reported.push(error),
                warn: (text) => world.warnings.push(text),
            },
            setTimeout(callback, wait) {
                const timer = { id: ++world.count, at: world.time + Math.max(wait || 0, 0), callback };
                if (wait > 2147483647) timer.at = world.time + 1; // As browsers do.
                world.timers.push(timer);
                return timer.id;
            },
            clearTimeout(id) {
                world.timers = world.timers.filter((timer) => timer.id !== id);
            },
        });
        this.context = context;
        scripts[file] = scripts[file] || compile(file);
        scripts[file].runInContext(context);
        return module.exports.default || module.exports;
    }

    // Call a host's listener as a host does: what it throws stops nobody else, and is kept.
    call(listener, event) {
        try {
            return listener(event);
        } catch (error) {
            this.uncaught.push(error);
            return undefined;
        }
    }

    // Let promises settle.
    async settle() {
        for (let i = 0; i < 3; i += 1) await new Promise(setImmediate);
    }

    async advance(milliseconds) {
        const end = this.time + milliseconds;
        await this.settle();
        for (;;) {
            const due = this.timers.filter((timer) => timer.at <= end);
            if (!due.length) break;
            const next = due.reduce((a, b) => (b.at < a.at || (b.at === a.at && b.id < a.id) ? b : a));
            this.timers = this.timers.filter((timer) => timer !== next);
            this.time = Math.max(this.time, next.at);
            this.call(next.callback);
            await this.settle();
        }
        this.time = end;
    }

    // The clock moves and nothing runs: a host froze the program.
    freeze(milliseconds) {
        this.time += milliseconds;
    }
}

module.exports = { World };
