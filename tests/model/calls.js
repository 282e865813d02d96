// Repeats what calls.py has noted, on core/session.py and core/resume.py in JavaScript: it stands behind them.
// Prints how many calls there were, and the first after which something is not as it was in Python.

var input = JSON.parse(require("fs").readFileSync(0, "utf8"));

function windowOf(plain) {
    return new Window(plain.messages, plain.size);
}

function argumentOf(plain) {
    if (plain === null || typeof plain !== "object") {
        return plain;
    }
    if (!("kind" in plain)) {
        return windowOf(plain);
    }
    var control = new Control(plain.kind);
    Object.keys(plain).forEach(function (name) {
        control[name] = name === "window" ? windowOf(plain.window) : plain[name];
    });
    return control;
}

function chain(kept) {
    var found = [];
    for (; kept; kept = kept.next) {
        found.push([kept.number, kept.character, kept.size]);
    }
    return found;
}

function stateOf(called) {
    var own = called instanceof Resumption ? input.resumption.map(function (name) { return called[name]; }) : [];
    var half = called instanceof Resumption ? called.half : called;
    return own.concat([half.theirs], input.half.map(function (name) { return half[name]; }));
}

function replay(noted) {
    var objects = [];
    function adopt(called) {
        if (called instanceof Resumption && objects.indexOf(called.half) < 0) {
            objects.push(called.half);
        }
    }
    function answerOf(answer) {
        if (answer instanceof Kept) {
            return chain(answer);
        }
        if (!Array.isArray(answer)) {
            return answer === undefined ? null : answer;
        }
        return answer.map(function (step) {
            var before = step.before ? objects.indexOf(step.before) : null;
            return [step.kind, step.control, step.number, step.code, step.answer, step.why, before];
        });
    }
    for (var at = 0; at < noted.length; at += 1) {
        var note = noted[at];
        if (note[0] !== "call") {
            var parts = note[1].map(argumentOf);
            var made = note[0] === "half" ? new Half(parts[0]) : new Resumption(parts[0], parts[1]);
            objects.push(made);
            adopt(made);
            continue;
        }
        var called = objects[note[1]];
        (called instanceof Resumption ? called.half : called).theirs = windowOf(note[4]);
        var answer = called[note[2]].apply(called, note[3].map(argumentOf));
        adopt(called);
        var actual = JSON.stringify([answerOf(answer), stateOf(called)]);
        if (actual !== JSON.stringify([note[5], note[6]])) {
            return {call: at, noted: note, actual: actual};
        }
    }
    return null;
}

var total = input.walks.reduce(function (sum, noted) { return sum + noted.length; }, 0);
var different = input.walks.map(replay).filter(function (found) { return found !== null; });
console.log(JSON.stringify({calls: total, different: different.slice(0, 1)}));
