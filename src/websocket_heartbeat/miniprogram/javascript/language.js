// Most of what clock.py and language.py declare, in ES5, with nothing that a mini program lacks.
var latest = 0;
var offset = 0;

// Date.now goes back when somebody sets the clock; this one then goes on from where it was.
function clock_now() {
    var time = Date.now();
    offset = Math.max(offset, latest - time);
    latest = time + offset;
    return latest / 1000;
}
function read(thing, name) {
    return thing == null ? thing : thing[name];
}
function record(thing) {
    var copy = {}, name;
    if (typeof thing === "object") {
        for (name in thing) {
            if (copy.hasOwnProperty.call(thing, name)) {
                copy[name] = thing[name];
            }
        }
    }
    return copy;
}
function attempt(thing, name, argument, failed) {
    var result;
    // Object does nothing, and never throws.
    failed = failed || Object;
    try {
        if (typeof read(thing, name) !== "function") {
            return false;
        }
        result = thing[name](argument);
        if (result && typeof result.then === "function") {
            result.then(null, failed);
        }
    } catch (error) {
        failed(error);
        return false;
    }
    return true;
}
function tell(thing, name, argument) {
    attempt(thing, name, argument, report);
}
function report(error) {
    if (typeof console !== "undefined") {
        console.error(error);
    }
}
function describe(thing) {
    return typeof thing === "string" ? thing
        : "" + (thing && (thing.errMsg || thing.errorMessage || thing.reason || thing.message) || "");
}
function value_of(thing) {
    return typeof thing === "function" ? thing() : thing;
}
