// Base64 for Alipay, whose messages carry bytes as text: mini programs have no atob and btoa.
var alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** The bytes of an ArrayBuffer as base64. */
function to_base64(data) {
    var bytes = new Uint8Array(data), text = "", bits = 0, count = 0, i;
    for (i = 0; i < bytes.length; i += 1) {
        bits = bits << 8 | bytes[i];
        for (count += 8; count > 5;) {
            count -= 6;
            text += alphabet.charAt(bits >> count & 63);
        }
    }
    // What is left of the last byte, if anything, is the high bits of one more character.
    return text + (count ? alphabet.charAt(bits << 6 - count & 63) + (count > 2 ? "=" : "==") : "");
}

/** The ArrayBuffer that base64 text stands for. */
function from_base64(text) {
    var bytes = [], bits = 0, count = 0, i, value;
    for (i = 0; i < text.length; i += 1) {
        value = alphabet.indexOf(text.charAt(i));
        if (value >= 0) {
            bits = bits << 6 | value;
            for (count += 6; count > 7;) {
                count -= 8;
                bytes.push(bits >> count & 255);
            }
        }
    }
    return new Uint8Array(bytes).buffer;
}
