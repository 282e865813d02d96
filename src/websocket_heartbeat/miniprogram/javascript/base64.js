// Base64 for Alipay, whose messages carry bytes as text: atob and btoa are not there in mini programs.
var alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
function to_base64(data) {
    var bytes = new Uint8Array(data), text = "", i, bits;
    for (i = 0; i < bytes.length; i += 3) {
        bits = bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2];
        text += alphabet.charAt(bits >> 18) + alphabet.charAt(bits >> 12 & 63) +
            (i + 1 < bytes.length ? alphabet.charAt(bits >> 6 & 63) : "=") +
            (i + 2 < bytes.length ? alphabet.charAt(bits & 63) : "=");
    }
    return text;
}
function from_base64(text) {
    var bytes = [], bits = 0, count = 0, i, value;
    for (i = 0; i < text.length; i += 1) {
        value = alphabet.indexOf(text.charAt(i));
        if (value >= 0) {
            bits = bits << 6 | value;
            count += 6;
            if (count > 7) {
                count -= 8;
                bytes.push(bits >> count & 255);
            }
        }
    }
    return new Uint8Array(bytes).buffer;
}
