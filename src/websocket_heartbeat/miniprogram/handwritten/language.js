// Calls of the host and the user, as language.py declares them; uses only what mini programs have.
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
