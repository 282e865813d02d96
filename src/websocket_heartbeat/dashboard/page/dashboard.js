// Follows the feed by our own client for pages, and shows it. All that comes is shown as text, never as HTML.
"use strict";

(function () {
  var KEPT_SECONDS = 300, KEPT_SAMPLES = 120, KEPT_MARKS = 20, KEPT_EVENTS = 200, ON_LINE = 60;

  // What each class of a failure means, for somebody who reads it for the first time.
  var MEANING = {
    server_closed: "The server closed the connection itself, by a close frame.",
    connection_lost: "The connection was reset, or ended without a word: a crash, a restart, or something between.",
    heartbeat_timeout: "A ping was not answered in time: the other end, or the way to it, is dead or frozen.",
    path_dead: "The other end's system has acknowledged nothing for long: the path is cut.",
    message_timeout: "The link lived, but no message came within message_timeout.",
    open_timeout: "No link was ready in time: the server, or something before it, does not answer.",
    connection_refused: "Nobody listens there: the server is down, or the port is wrong.",
    name_not_resolved: "The name of the server is unknown: a typing mistake, or no network.",
    network_failed: "The network could not carry it.",
    tls_failed: "TLS failed: a certificate that is not trusted, or no TLS on this port.",
    proxy_failed: "The proxy did not let it through.",
    handshake_invalid: "No WebSocket server answered, or the connection ended before the answer, as in a restart.",
    redirect_refused: "The server sent us to where we do not go.",
    protocol_violation: "The other end broke the protocol, or sent a message that is too big.",
    rejected: "Your program gave this link up.",
    reconnect_requested: "Your program asked for a new link.",
    hook_failed: "A function of your program raised an exception.",
    dismissed: "The server wants no connection of this client any more.",
    session_over: "The session has ended.",
    session_not_offered: "The server has no sessions.",
    cancelled: "It was closed meanwhile.",
    idle_timeout: "The client was silent and did not answer a ping: it vanished, as phones and closed laptops do.",
    write_limit: "The client read too slowly, or not at all, and too much waited for it.",
    close_timeout: "The client did not answer the close frame.",
    abort: "Your program dropped the client."
  };

  var $ = function (id) { return document.getElementById(id); };
  var lines = new Map();     // what is known of each, by number, in the order of the page
  var rows = new Map();      // the elements of each, by number
  var seconds = [];
  var run = null;
  var colour = Drawing.colours();
  var visible = new Set();
  var shownInDetail = null;
  var retryAt = null, retryWhy = "";

  function meaning(error) {
    if (MEANING[error]) return MEANING[error];
    if (/^\d{3}$/.test(error)) return "The server answered the handshake with HTTP status " + error + ".";
    return "";
  }

  function element(name, className, text) {
    var made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function clock(when) {
    var at = element("time", "", new Date(when * 1000).toLocaleTimeString("en-GB"));
    at.dateTime = new Date(when * 1000).toISOString();
    return at;
  }

  function ago(span) {
    if (span < 90) return Math.max(0, Math.round(span)) + " s";
    return span < 5400 ? Math.round(span / 60) + " min" : Math.round(span / 3600) + " h";
  }

  function milliseconds(value) {
    if (value < 0.1) return "< 0.1 ms";
    return value >= 1000 ? (value / 1000).toFixed(1) + " s" : (value < 10 ? value.toFixed(1) : Math.round(value)) + " ms";
  }

  function number(value) { return value.toLocaleString("en"); }

  function latestTime() { return seconds.length ? seconds[seconds.length - 1].when : Date.now() / 1000; }

  // The status of this page's own connection

  // What changes each second is not read aloud each time.
  function status(state, words, aside) {
    var node = $("status");
    node.dataset.state = state;
    if (node.textContent !== words + aside) {
      var span = element("span", "", aside);
      span.setAttribute("aria-hidden", "true");
      node.replaceChildren(words, span);
    }
    document.body.classList.toggle("stale", state !== "live");
  }

  function countDown() {
    if (retryAt === null) return;
    var left = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    status("lost", "reconnecting" + retryWhy, left ? " in " + left + " s…" : "…");
  }

  function begin() {
    if (!window.WebsocketHeartbeatJs) {  // built by `make js`, which a source checkout may lack
      status("lost", "heartbeat.js cannot be loaded: in a source checkout, `make js` builds it", "");
      return;
    }
    var heartbeat = new WebsocketHeartbeatJs({
      url: function () {
        return fetch("ticket", { cache: "no-store", credentials: "same-origin" }).then(function (answer) {
          retryWhy = answer.ok ? "" : " (the server answers " + answer.status + ": is its URL still right?)";
          if (!answer.ok) throw new Error("no ticket: " + answer.status);
          return answer.text();
        }).then(function (ticket) {
          var url = new URL("feed/" + ticket, location.href);
          url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
          return url.href;
        });
      },
      pingTimeout: 5000, pongTimeout: 5000, reconnectTimeout: 2000, maxReconnectTimeout: 5000, sendQueue: 0
    });
    heartbeat.onopen = function () { retryAt = null; status("live", "live", ""); };
    heartbeat.onmessage = function (event) { receive(JSON.parse(event.data)); };
    heartbeat.onreconnect = function (event) { retryAt = Date.now() + event.delay; countDown(); };
    setInterval(countDown, 250);
    document.addEventListener("visibilitychange", function () { if (!document.hidden) show(); });
    window.addEventListener("online", function () { heartbeat.reconnect(); });
    window.addEventListener("resize", show);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () {
      colour = Drawing.colours();
      show();
    });
  }

  // What comes

  function receive(message) {
    if (message.kind === "snapshot") {
      if (run !== null && run !== message.run) {
        addEvents([[message.seconds.length ? message.seconds[0].when : latestTime(), "restart", 0, "the program",
          "was restarted: what follows is of its new run", null]], 0);
      } else {
        $("events").replaceChildren();
      }
      var firstWhen = message.seconds.length ? message.seconds[0].when : Infinity;
      seconds = run === message.run ? [] : seconds.filter(function (second) { return second.when < firstWhen; });
      run = message.run;
      lines.clear();
    }
    seconds = seconds.concat(message.seconds).slice(-KEPT_SECONDS);
    take(message.lines);
    addEvents(message.events, message.unshown_events);
    showReasons(message.reasons);
    show();
  }

  function take(news) {
    var next = new Map();
    news.forEach(function (entry) {
      var line = lines.get(entry.id) || { samples: [], marks: [] };
      ["side", "name", "where", "since", "gone"].forEach(function (key) {
        if (key in entry) line[key] = entry[key];
      });
      line.samples = line.samples.concat(entry.samples || []).slice(-KEPT_SAMPLES);
      (entry.marks || []).forEach(function (mark) { addMark(line.marks, mark); });
      next.set(entry.id, line);
    });
    lines = next;
  }

  // Of too many, the oldest retry goes, as a long outage must not hide why it began.
  function addMark(marks, mark) {
    marks.push(mark);
    if (marks.length <= KEPT_MARKS) return;
    marks.splice(Math.max(0, marks.findIndex(function (each) { return each[1] === "retry"; })), 1);
  }

  function addEvents(events, unshown) {
    var list = $("events");
    events.forEach(function (event) {
      list.prepend(eventItem(event[1], event[0], event[4], event[3]));
    });
    if (unshown) list.prepend(element("li", "", "… and " + number(unshown) + " more in this second"));
    while (list.childElementCount > KEPT_EVENTS) list.lastElementChild.remove();
  }

  // who: the name of the line, where it is not clear.
  function eventItem(kind, when, words, who) {
    var isBad = kind === "lost" || kind === "failed" || kind === "blocked" || kind === "restart";
    var isGood = kind === "open" || kind === "came";
    var item = element("li", isBad ? "bad" : isGood ? "good" : kind === "retry" ? "retry" : "");
    item.append(clock(when), isBad ? "✕ " : isGood ? "✓ " : kind === "retry" ? "↻ " : "· ");
    if (who) item.append(element("b", "", who), " ");
    item.append(words);
    return item;
  }

  // What is shown

  function showReasons(reasons) {
    var list = $("reasons");
    var all = Object.keys(reasons).sort(function (a, b) { return reasons[b] - reasons[a]; });
    $("reasons-note").hidden = all.length > 0;
    list.replaceChildren();
    all.slice(0, 12).forEach(function (error) {
      list.append(element("dt", "", error.replace(/_/g, " ") + " × " + number(reasons[error])), element("dd", "", meaning(error)));
    });
  }

  function show() {
    if (document.hidden) return;
    showTotals();
    showLines();
    if ($("details").open) showDetails();
  }

  // What a plot shows, each part in the colour of its line.
  function caption(node, parts, none) {
    var children = [];
    parts.forEach(function (part) { children.push(" · ", element("span", part[0], part[1])); });
    node.replaceChildren.apply(node, children.length ? children.slice(1) : [none]);
  }

  function showTotals() {
    if (!seconds.length) return;
    var last = seconds[seconds.length - 1];
    var up = function (second) { return (second.states.open || 0) + (second.states.probing || 0); };
    var all = function (second) {
      return Object.keys(second.states).reduce(function (sum, state) { return sum + second.states[state]; }, 0);
    };
    var down = function (second) { return all(second) - up(second); };
    var rate = function (key) { return seconds.map(function (second) { return second[key] / second.seconds; }); };
    var sum = function (keys) {
      return seconds.map(function (second) {
        return keys.reduce(function (total, key) { return total + second[key]; }, 0) / second.seconds;
      });
    };
    var words = [];
    if (last.peers) words.push(["alive", number(last.peers) + " incoming"]);
    if (all(last)) words.push(["alive", number(up(last)) + " outgoing open"]);
    if (down(last)) words.push(["bad", number(down(last)) + " outgoing without a link"]);
    if (last.states.probing) words.push(["", number(last.states.probing) + " silent"]);
    if (last.waiting) words.push(["", number(last.waiting) + " waiting for a turn"]);
    if (last.queue) words.push(["", number(last.queue) + (last.queue === 1 ? " message" : " messages") + " queued"]);
    caption($("now-connections"), words, "none");
    Drawing.plot($("plot-connections"), [
      { values: seconds.map(down), colour: colour.bad, fill: true },
      { values: seconds.map(function (second) { return up(second) + second.peers; }), colour: colour.alive }
    ], KEPT_SECONDS, colour, "");
    var opened = last.opened + last.came, lost = last.lost + last.died;
    caption($("now-rates"), [
      ["good", "✓ " + number(opened) + " opened"], ["bad", "✕ " + number(lost) + " lost"],
      ["retry", "↻ " + number(last.retries) + (last.retries === 1 ? " retry" : " retries")]
    ].concat(last.refused ? [["bad", number(last.refused) + " refused"]] : []), "");
    Drawing.plot($("plot-rates"), [
      { values: sum(["lost", "died", "refused"]), colour: colour.bad, fill: true },
      { values: sum(["opened", "came"]), colour: colour.good },
      { values: rate("retries"), colour: colour.probe }
    ], KEPT_SECONDS, colour, "/s");
    var measured = seconds.filter(function (second) { return second.median !== null; }).pop();
    caption($("now-trips"), measured ? [
      ["alive", "median " + milliseconds(measured.median * 1000)],
      ["retry", "slowest " + milliseconds(measured.slowest * 1000)]
    ] : [], "no heartbeat was answered yet");
    var held = function (key) {
      return seconds.map(function (second) { return second[key] === null ? null : second[key] * 1000; });
    };
    Drawing.plot($("plot-trips"), [
      { values: dots(held("slowest")), colour: colour.probe },
      { values: dots(held("median")), colour: colour.alive }
    ], KEPT_SECONDS, colour, " ms");
    ["connections", "rates", "trips"].forEach(function (name) {
      $("plot-" + name).setAttribute("aria-label", "Of the last five minutes; now: " + $("now-" + name).textContent);
    });
  }

  // Heartbeats are seconds apart: what was measured holds until the next one, for half a minute.
  function dots(values) {
    var last = null, since = 0;
    return values.map(function (value) {
      if (value !== null) { last = value; since = 0; } else if (++since > 30) last = null;
      return last;
    });
  }

  function isDown(line) {
    var sample = line.samples[line.samples.length - 1];
    return Boolean(sample) && Drawing.lookOf(sample[0]) === "down";
  }

  // The latest loss of a line; and of one that is down the latest retry since then. Each may be null.
  function failures(line) {
    var all = line.marks.filter(function (mark) { return mark[3] !== null; });
    var last = all[all.length - 1], loss = null;
    all.forEach(function (mark) { if (mark[1] !== "retry") loss = mark; });
    return { loss: loss, retry: last && last !== loss && (isDown(line) || !loss) ? last : null };
  }

  function facts(line) {
    var sample = line.samples[line.samples.length - 1];
    if (!sample) return "";
    var words = [sample[0]];
    var trip = lastTrip(line);
    if (trip !== null && sample[3] !== null) words.push(milliseconds(trip));
    if (sample[3] !== null && sample[3] >= 2) words.push("silent " + ago(sample[3]));
    if (sample[4]) words.push(line.side === "peer" ? number(sample[4]) + " B wait" : number(sample[4]) + " queued");
    return words.join(" · ");
  }

  function lastTrip(line) {
    for (var n = line.samples.length - 1; n >= 0; n--) if (line.samples[n][2] !== null) return line.samples[n][2];
    return null;
  }

  function whyOf(line, now) {
    var found = failures(line), parts = [];
    [found.loss, found.retry].forEach(function (mark) {
      if (mark && (isDown(line) || now - mark[0] <= 120)) parts.push(ago(now - mark[0]) + " ago: " + mark[2]);
    });
    return parts.join(" · ");
  }

  var watcher = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      if (entry.isIntersecting) {
        visible.add(entry.target);
        drawTrace(Number(entry.target.closest(".line").dataset.id));
      } else {
        visible.delete(entry.target);
      }
    });
  }, { rootMargin: "200px" });

  function drawTrace(id) {
    var line = lines.get(id), row = rows.get(id);
    if (line && row) Drawing.trace(row.canvas, line.samples, line.marks, ON_LINE, latestTime(), colour);
  }

  function rowOf(id) {
    var row = rows.get(id);
    if (row) return row;
    var item = element("li"), button = element("button", "line");
    button.type = "button";
    button.dataset.id = id;
    button.tabIndex = -1;
    row = {
      item: item, button: button, name: element("span", "name"), title: element("b"), where: element("span", "where"),
      canvas: element("canvas"), facts: element("span", "facts"), why: element("span", "why")
    };
    row.canvas.setAttribute("aria-hidden", "true");
    row.name.append(row.title, " ", row.where);
    button.append(row.name, row.canvas, row.facts, row.why);
    item.append(button);
    watcher.observe(row.canvas);
    visible.add(row.canvas);
    rows.set(id, row);
    return row;
  }

  function showLines() {
    var list = $("lines"), now = latestTime(), focused = document.activeElement;
    rows.forEach(function (row, id) {
      if (lines.has(id)) return;
      if (row.button === focused) {
        var next = row.item.nextElementSibling || row.item.previousElementSibling;
        if (next) next.firstElementChild.focus();
      }
      watcher.unobserve(row.canvas);
      visible.delete(row.canvas);
      row.item.remove();
      rows.delete(id);
    });
    focused = document.activeElement;
    var place = list.firstElementChild;
    lines.forEach(function (line, id) {
      var row = rowOf(id);
      var sample = line.samples[line.samples.length - 1];
      if (row.item !== place) list.insertBefore(row.item, place); else place = place.nextElementSibling;
      setText(row.title, line.name);
      setText(row.where, line.where);
      setText(row.facts, facts(line));
      setText(row.why, whyOf(line, now));
      row.button.dataset.look = sample ? Drawing.lookOf(sample[0]) : "ended";
      if (visible.has(row.canvas)) drawTrace(id);
    });
    if (focused && focused.classList.contains("line") && document.activeElement !== focused && focused.isConnected) focused.focus();
    if (lines.size && !list.querySelector('.line[tabindex="0"]')) list.querySelector(".line").tabIndex = 0;
    showNote();
  }

  function showNote() {
    var last = seconds[seconds.length - 1], note = $("lines-note");
    var living = last ? last.peers + Object.keys(last.states).reduce(function (sum, key) { return sum + last.states[key]; }, 0) : 0;
    var shown = 0;
    lines.forEach(function (line) { if (!line.gone) shown++; });
    if (!lines.size) setText(note, "None yet.");
    else if (living > shown) setText(note, number(shown) + " of " + number(living) + ", those with trouble first. The last minute of each.");
    else setText(note, "The last minute of each.");
  }

  // By keyboard: one line of the list is in the order of Tab, and arrow keys walk from it

  $("lines").addEventListener("keydown", function (event) {
    var item = event.target.closest("li"), list = $("lines");
    if (!item) return;
    var next = {
      ArrowDown: item.nextElementSibling, ArrowUp: item.previousElementSibling,
      Home: list.firstElementChild, End: list.lastElementChild
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    if (next) next.firstElementChild.focus();
  });

  document.addEventListener("keydown", function (event) {
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && document.activeElement === document.body && !$("details").open) {
      var first = $("lines").querySelector('.line[tabindex="0"]');
      if (first) { event.preventDefault(); first.focus(); }
    }
  });

  $("lines").addEventListener("focusin", function (event) {
    var button = event.target.closest(".line");
    if (!button) return;
    $("lines").querySelectorAll('.line[tabindex="0"]').forEach(function (other) { other.tabIndex = -1; });
    button.tabIndex = 0;
  });

  $("lines").addEventListener("click", function (event) {
    var button = event.target.closest(".line");
    if (!button) return;
    shownInDetail = { id: Number(button.dataset.id), line: null };
    $("details").showModal();
    showDetails();
  });

  $("details").addEventListener("close", function () {
    var row = shownInDetail && rows.get(shownInDetail.id);
    if (row) row.button.focus();
    shownInDetail = null;
  });

  // A failure in words, and what its class means, unless that of `before` is the same.
  function explained(mark, now, before) {
    return ago(now - mark[0]) + " ago: " + mark[2] + ". " + (before && before[3] === mark[3] ? "" : meaning(mark[3]));
  }

  function showDetails() {
    var id = shownInDetail.id;
    var line = shownInDetail.line = lines.get(id) || shownInDetail.line;  // one that is shown no more stays as it was
    if (!line) return;
    var now = latestTime(), found = failures(line), sample = line.samples[line.samples.length - 1];
    setText($("details-title"), line.name);
    setText($("details-where"), line.where);
    var why = found.loss || found.retry, then = found.loss && found.retry;
    setText($("details-why"), why ? explained(why, now) : "No failure since the dashboard started.");
    $("details-why").className = why ? "why" : "note";
    setText($("details-then"), then ? explained(then, now, why) : "");
    Drawing.trace($("details-trace"), line.samples, line.marks, KEPT_SAMPLES, now, colour);
    $("details-trace").setAttribute("aria-label", "Its last two minutes; now: " + facts(line));
    var trip = lastTrip(line), pairs = [["state", sample ? sample[0] : "unknown"], ["started", line.since === null ? "before the dashboard" : ago(now - line.since) + " ago"]];
    if (line.gone) pairs.push(["ended", ago(now - line.gone) + " ago"]);
    if (trip !== null) pairs.push(["round trip", milliseconds(trip)]);
    if (sample && sample[3] !== null) pairs.push(["silent for", ago(sample[3])]);
    if (sample) pairs.push(line.side === "peer" ? ["not taken", number(sample[4]) + " bytes"] : ["queue", number(sample[4]) + " messages"]);
    var list = $("details-facts");
    list.replaceChildren();
    pairs.forEach(function (pair) { list.append(element("dt", "", pair[0]), element("dd", "", pair[1])); });
    var marks = $("details-marks");
    marks.replaceChildren();
    line.marks.slice().reverse().forEach(function (mark) { marks.append(eventItem(mark[1], mark[0], mark[2])); });
  }

  begin();
})();
