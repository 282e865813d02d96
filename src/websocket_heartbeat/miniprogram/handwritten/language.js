// Access to objects of the host and the user, as language.py declares it; uses only what mini programs have.

/** The member `name` of anything at all; nothing where there is none. */
function read(thing, name) {
    return thing == null ? thing : thing[name];
}

/** A new object with the entries that `thing` itself has; empty where it has none. */
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

/** thing[name](argument), as a method of its object. */
function invoke(thing, name, argument) {
    return thing[name](argument);
}

/** Call thing[name](argument), if there is such a method; tell `failed` what it throws or rejects with. */
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

/** Call it, if there is such a method; return whether there is and it did not throw. */
function attempt(thing, name, argument) {
    return call(thing, name, argument, function () {});
}

/** Call the user's own method, if there is one; what it throws or rejects with is reported. */
function tell(thing, name, argument) {
    call(thing, name, argument, report);
}

/** Show the user an error of the user's own code; never throws. */
function report(error) {
    if (typeof console !== "undefined") {
        console.error(error);
    }
}

/** The text of an error or of a host's event, whatever its shape; empty where there is none. */
function describe(thing) {
    try {
        return typeof thing === "string" ? thing
            : "" + (thing && (thing.errMsg || thing.errorMessage || thing.reason || thing.message) || "");
    } catch (error) {
        // A symbol, for instance, cannot be made a string.
        return "";
    }
}

/** What a function returns when it is called now; anything else is itself the value. */
function value_of(thing) {
    return typeof thing === "function" ? thing() : thing;
}

function is_text(value) {
    return typeof value === "string";
}

function is_number(value) {
    return typeof value === "number";
}

/** Whether `value` is an ArrayBuffer, or a view of one. */
function is_bytes(value) {
    return read(value, "byteLength") != null;
}

/** A close code, which some hosts write as a string; nothing where there is none. */
function close_code(value) {
    return typeof value === "number" || typeof value === "string" ? +value || null : null;
}
