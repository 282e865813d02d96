// What only a page has, as language.py declares it.
function listen(target, name, listener, is_on) {
    if (target && target.addEventListener) {
        target[is_on ? "addEventListener" : "removeEventListener"](name, listener);
    }
}
function web_socket(page, url, protocols) {
    return protocols ? new page.WebSocket(url, protocols) : new page.WebSocket(url);
}
