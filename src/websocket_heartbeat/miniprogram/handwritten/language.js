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

/** Call it, if there is such a method; return whether there is and it did not throw. Its rejection is ignored. */
function attempt(thing, name, argument) {
    try {
        if (typeof read(thing, name) !== "function") {
            return false;
        }
        when(thing[name](argument), nothing, nothing);
    } catch (error) {
        return false;
    }
    return true;
}

/** Call the user's own method, if there is one, and return what it returns; what it throws is reported. */
function ask(thing, name, argument) {
    try {
        if (typeof read(thing, name) === "function") {
            return thing[name](argument);
        }
    } catch (error) {
        report(error);
    }
    return null;
}

/** Call the user's own method, if there is one; what it throws or rejects with is reported. */
function tell(thing, name, argument) {
    when(ask(thing, name, argument), nothing, report);
}

/** Call back with what a promise becomes; with anything else, at once. */
function when(value, fulfilled, rejected) {
    if (!is_promise(value)) {
        fulfilled(value);
        return;
    }
    try {
        value.then(function (result) {
            when(result, fulfilled, rejected);
        }, rejected);
    } catch (error) {
        rejected(error);
    }
}

function nothing() {}

/** Let an error of the user's own code be seen by whatever watches for errors that nobody catches. */
function report(error) {
    setTimeout(function () {
        throw error;
    }, 0);
}

/** Show the user what is wrong with an option, or with the function that it is. */
function log(error) {
    if (typeof console !== "undefined" && console.error) {
        console.error(error);
    }
}

/** Show a developer what no hook tells. */
function warn(text) {
    if (typeof console !== "undefined" && console.warn) {
        console.warn("websocket-heartbeat: " + text);
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

/** Whether `value` is a promise, or anything else that has a method `then`. */
function is_promise(value) {
    return typeof read(value, "then") === "function";
}

/** Whether `one` has each entry of `other` with the same value; NaN is itself. */
function has_entries_of(one, other) {
    var name, value;
    for (name in other) {
        value = one[name];
        if (value !== other[name] && (value === value || other[name] === other[name])) {
            return false;
        }
    }
    return true;
}

/** Whether two values are of one type and equal. */
function is_same(one, other) {
    return one === other;
}

/** What an array holds, in an array of our own; null for anything else. */
function elements_of(value) {
    return Array.isArray(value) ? value.slice() : null;
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

/** Whether `value` is a view of an ArrayBuffer: a typed array, a DataView or a Buffer of Node. */
function is_view(value) {
    return read(read(value, "buffer"), "byteLength") != null;
}

/** An ArrayBuffer of its own with the bytes of an ArrayBuffer or a view; anything else is returned itself. */
function copied(value) {
    if (!is_bytes(value)) {
        return value;
    }
    var bytes = is_view(value)
        ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
        : new Uint8Array(value);
    // An array of an array has a buffer of its own.
    return new Uint8Array(bytes).buffer;
}

/** A close code, which some hosts write as a string; nothing where there is none. */
function close_code(value) {
    return typeof value === "number" || typeof value === "string" ? +value || null : null;
}
