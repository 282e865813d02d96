// Draws traces and plots on canvases: what is drawn depends on the data alone, so nothing moves between two seconds.
"use strict";

var Drawing = (function () {
  var DOWN = { idle: 1, connecting: 1, waiting: 1, failed: 1 };

  function colours() {
    var style = getComputedStyle(document.documentElement);
    var all = {};
    ["panel", "edge", "text", "dim", "alive", "probe", "bad", "good", "queue"].forEach(function (name) {
      all[name] = style.getPropertyValue("--" + name).trim();
    });
    return all;
  }

  // Returns the context of a canvas as large as it is shown, cleared; null while it is not shown.
  function prepared(canvas) {
    var ratio = window.devicePixelRatio || 1;
    var width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return null;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    var context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return { context: context, width: width, height: height };
  }

  // What a state looks like: "up", "probing", "down", "away" or "ended".
  function lookOf(state) {
    if (state === "open") return "up";
    if (state === "probing") return "probing";
    if (DOWN[state]) return "down";
    return state === "away" ? "away" : "ended";
  }

  // samples: [state, heard, milliseconds, silent for, queue], a second each, the newest last. now: of the newest.
  function trace(canvas, samples, marks, count, now, colour) {
    var on = prepared(canvas);
    if (!on) return;
    var c = on.context, step = on.width / count, base = on.height * 0.68;
    var shown = samples.slice(-count);
    var first = count - shown.length;
    var before = null;
    shown.forEach(function (sample, index) {
      var x = (first + index) * step, look = lookOf(sample[0]);
      if (sample[4] > 0) {
        var bar = Math.min(1, Math.log10(1 + sample[4]) / 4) * (on.height - base - 1);
        c.fillStyle = colour.queue;
        c.globalAlpha = 0.55;
        c.fillRect(x, on.height - bar, step, bar);
        c.globalAlpha = 1;
      }
      if (look === "ended") { before = look; return; }
      c.beginPath();
      c.lineWidth = 1.6;
      c.lineJoin = "round";
      c.setLineDash(look === "down" || look === "away" ? [2, 4] : []);
      c.strokeStyle = look === "down" ? colour.bad : look === "away" ? colour.dim
        : look === "probing" ? colour.probe : sample[1] ? colour.alive : colour.dim;
      c.moveTo(x, base);
      if (sample[1] && (look === "up" || look === "probing")) {
        var trip = sample[2];
        var size = trip === null ? 0.3 : Math.min(1, 0.6 + 0.13 * Math.log10(1 + trip));
        var top = base - size * (base - 4);
        c.lineTo(x + step * 0.3, base);
        c.lineTo(x + step * 0.45, top);
        c.lineTo(x + step * 0.6, base + (on.height - base) * 0.45 * size);
        c.lineTo(x + step * 0.75, base);
      }
      c.lineTo(x + step, base);
      c.stroke();
      before = look;
    });
    c.setLineDash([]);
    marks.forEach(function (mark) {
      var x = on.width - (now - mark[0]) * step;
      if (x < 4) return;
      x = Math.min(x, on.width - 6);
      var isBad = mark[1] === "lost" || mark[1] === "failed";
      if (isBad) {
        c.strokeStyle = colour.bad;
        c.lineWidth = 2.2;
        c.beginPath();
        c.moveTo(x - 5, 5); c.lineTo(x + 5, 15); c.moveTo(x + 5, 5); c.lineTo(x - 5, 15);
        c.stroke();
        c.lineWidth = 1;
        c.globalAlpha = 0.5;
        c.beginPath(); c.moveTo(x, 17); c.lineTo(x, on.height); c.stroke();
        c.globalAlpha = 1;
      } else if (mark[1] === "open" || mark[1] === "came") {
        c.strokeStyle = colour.good;
        c.lineWidth = 2;
        c.beginPath(); c.moveTo(x, on.height - 9); c.lineTo(x, on.height - 1); c.stroke();
      } else if (mark[1] === "retry") {
        c.fillStyle = colour.probe;
        c.beginPath();
        c.moveTo(x, on.height - 9); c.lineTo(x + 4, on.height - 2); c.lineTo(x - 4, on.height - 2);
        c.fill();
      }
    });
  }

  // series: each { values, colour, fill }; values may be null. All share one axis, which begins at 0.
  function plot(canvas, series, count, colour, unit) {
    var on = prepared(canvas);
    if (!on) return;
    var c = on.context, step = on.width / (count - 1), most = 0;
    series.forEach(function (one) {
      one.values.forEach(function (value) { if (value !== null && value > most) most = value; });
    });
    var top = nice(most), height = on.height - 14;
    c.strokeStyle = colour.edge;
    c.lineWidth = 1;
    c.beginPath(); c.moveTo(0, on.height - 0.5); c.lineTo(on.width, on.height - 0.5);
    c.moveTo(0, 13.5); c.lineTo(on.width, 13.5); c.stroke();
    c.fillStyle = colour.dim;
    c.font = "11px system-ui, sans-serif";
    c.fillText(label(top) + unit, 2, 10);
    c.textAlign = "right";
    c.fillText(Math.round(count / 60) + " min", on.width - 2, 10);
    c.textAlign = "left";
    series.forEach(function (one) {
      var first = count - one.values.length;
      c.beginPath();
      c.strokeStyle = c.fillStyle = one.colour;
      c.lineWidth = 1.6;
      var isDown = true;
      one.values.forEach(function (value, index) {
        var x = (first + index) * step;
        if (one.fill) {
          if (value) {
            var bar = value / top * height;
            c.fillRect(x - step / 2, on.height - bar, Math.max(1.5, step), bar);
          }
        } else if (value === null) {
          isDown = true;
        } else {
          var y = on.height - 1 - value / top * (height - 1);
          if (isDown) { c.moveTo(x - 1, y); isDown = false; }
          c.lineTo(x, y);
        }
      });
      if (!one.fill) c.stroke();
    });
  }

  function nice(most) {
    if (!(most > 0)) return 1;
    var power = Math.pow(10, Math.floor(Math.log10(most)));
    var steps = [1, 2, 5, 10];
    for (var n = 0; n < steps.length; n++) if (steps[n] * power >= most) return steps[n] * power;
    return most;
  }

  function label(value) {
    return value >= 1 ? value.toLocaleString("en") : String(Number(value.toPrecision(2)));
  }

  return { colours: colours, lookOf: lookOf, trace: trace, plot: plot };
})();
