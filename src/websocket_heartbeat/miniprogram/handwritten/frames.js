// Frames, numbers and JSON objects of a session, as session/frames.py declares them.
/** A message with its character before it: text, or an ArrayBuffer; a Blob, where the message is one. */
function framed(character, data) {
    if (typeof data === "string") {
        return character + data;
    }
    if (!is_bytes(data)) {
        return new Blob([character, data]);
    }
    var frame = new Uint8Array(data.byteLength + 1);
    frame[0] = character.charCodeAt(0);
    frame.set(new Uint8Array(data), 1);
    return frame.buffer;
}

/** A binary message with its character, for a link that has no binary frames. */
function framed_as_text(character, data) {
    return "%" + character + to_base64(data);
}

/** The frame that a text stands for, without the % before it. */
function unframed(text) {
    return framed(text.charAt(0) || " ", from_base64(text.slice(1)));
}

/** The first character of a frame, or the character that its first byte stands for; "" if it is empty. */
function first_of(data) {
    if (typeof data === "string") {
        return data.charAt(0);
    }
    return is_bytes(data) && data.byteLength ? String.fromCharCode(new Uint8Array(data)[0]) : "";
}

/** A frame without its first character, or its first byte. */
function rest_of(data) {
    return data.slice(1);
}

/** The bytes of a message as it is sent; of a text, those of its UTF-8. */
function size_of(data) {
    if (typeof data !== "string") {
        return is_bytes(data) ? data.byteLength : +read(data, "size") || 0;
    }
    var size = data.length, i, unit;
    for (i = 0; i < data.length; i += 1) {
        unit = data.charCodeAt(i);
        // Half of a pair is two bytes of four.
        size += unit < 128 ? 0 : unit < 2048 || (unit > 55295 && unit < 57344) ? 1 : 2;
    }
    return size;
}

/** The characters of a text, which are never more than its bytes; the bytes of anything else. */
function length_of(data) {
    return typeof data === "string" ? data.length : data.byteLength;
}

/** Have a socket of a page give bytes as an ArrayBuffer: a Blob cannot be read at once. */
function take_bytes(native) {
    if (typeof read(native, "binaryType") === "string") {
        native.binaryType = "arraybuffer";
    }
}

/** The subprotocol that a server has selected: "" for none, null where the host does not say. */
function selected(native, event) {
    var headers = read(event, "header"), found = null, name;
    if (typeof read(native, "protocol") === "string") {
        return native.protocol;
    }
    for (name in headers) {
        if (name.toLowerCase() === "sec-websocket-protocol") {
            return "" + headers[name];
        }
        if (name.toLowerCase() === "sec-websocket-accept") {
            found = "";
        }
    }
    return found;
}

/** The digits of a whole number. */
function text_of(number) {
    return "" + number;
}

/** The whole number that a text is; null if it is none. */
function whole_number(text) {
    return /^[0-9]{1,16}$/.test(text) ? +text : null;
}

/** Whether a value is a whole number from 0 to below 2^53. */
function is_count(value) {
    return typeof value === "number" && value >= 0 && value < 9007199254740992 && Math.floor(value) === value;
}

/** The text of an object. */
function to_json(members) {
    return JSON.stringify(members);
}

/** The object that a text stands for; null if it is none. */
function from_json(text) {
    try {
        var members = JSON.parse(text);
        return members && typeof members === "object" && !Array.isArray(members) ? members : null;
    } catch (error) {
        return null;
    }
}

/** The message that a text of a snapshot stands for; null if it stands for none. */
function unpacked(value) {
    var kind = typeof value === "string" ? value.charAt(0) : "";
    return kind === "t" ? value.slice(1) : kind === "b" ? from_base64(value.slice(1)) : null;
}

/** The place of a message among the characters that stand for numbers. */
function place_of(number) {
    return number % 64;
}

/** A promise; `take` gets what keeps it, and what breaks it with the text of an error. */
function promise(take) {
    return new Promise(function (resolve, reject) {
        take(resolve, function (text) {
            reject(new Error(text));
        });
    });
}
