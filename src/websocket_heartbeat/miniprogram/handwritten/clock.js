// Time, timers and random numbers, as clock.py declares them.
function Clock() {
    this.latest = 0;
    this.offset = 0;
}

Clock.prototype.now = function () {
    // Date.now goes back when the system's clock is set back; this one then goes on from where it was.
    var time = Date.now();
    this.offset = Math.max(this.offset, this.latest - time);
    this.latest = time + this.offset;
    return this.latest / 1000;
};

Clock.prototype.random = function () {
    return Math.random();
};

Clock.prototype.start_timer = function (callback, milliseconds) {
    return setTimeout(callback, milliseconds);
};

Clock.prototype.stop_timer = function (timer) {
    clearTimeout(timer);
};
