// What values are and have, as language.py declares it; uses only what mini programs have.
/** The member `name` of anything at all; nothing where there is none. */
function read(thing, name) {
    return thing == null ? thing : thing[name];
}

/** thing[name](argument), as a method of its object. */
function invoke(thing, name, argument) {
    return thing[name](argument);
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

/** Whether two values are of one type and equal. */
function is_same(one, other) {
    return one === other;
}

/** Whether `value` is a promise, or anything else that has a method `then`. */
function is_promise(value) {
    return typeof read(value, "then") === "function";
}

/** What an array holds, in an array of our own; null for anything else. */
function elements_of(value) {
    return Array.isArray(value) ? value.slice() : null;
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
