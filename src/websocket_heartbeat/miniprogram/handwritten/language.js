// How foreign things are touched, as language.py declares it; with nothing that a mini program lacks.
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
function invoke(thing, name, argument) {
    return thing[name](argument);
}
// Call thing.name(argument) if there is such a method; tell `failed` what it throws or rejects with.
function call(thing, name, argument, failed) {
    var result;
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
function attempt(thing, name, argument) {
    return call(thing, name, argument, function () {});
}
function tell(thing, name, argument) {
    call(thing, name, argument, report);
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
function is_text(value) {
    return typeof value === "string";
}
function is_number(value) {
    return typeof value === "number";
}
function is_bytes(value) {
    return read(value, "byteLength") != null;
}
function close_code(value) {
    return +value || null;
}
