// Tributary: keeps a click id first-party, after consent, and reports conversions. See docs/tracking.md.
(function (w, d) {
  "use strict";
  var tag = d.currentScript || d.querySelector("script[data-advertiser]");
  if (!tag || w.tributary && w.tributary.loaded) return;
  var conf = tag.dataset, base = new URL(tag.src, d.baseURI).origin, key = "tributary";
  var days = Number(conf.days) || 90, memory = {}, consent = conf.consent || "wait";

  // Global Privacy Control outweighs whatever the page says.
  function allowed() {
    return consent === "granted" && w.navigator.globalPrivacyControl !== true;
  }

  function load() {
    if (!allowed()) return memory;
    try {
      var kept = JSON.parse(w.localStorage.getItem(key)) || {};
      return kept.until > Date.now() ? kept : {};
    } catch (e) { return memory; }
  }

  function save(more) {
    var all = Object.assign({}, load(), more);
    memory = all;
    if (!allowed()) return all;
    all.until = Date.now() + days * 864e5;
    try { w.localStorage.setItem(key, JSON.stringify(all)); } catch (e) { /* a private window: this page only */ }
    return all;
  }

  function forget() {
    memory = {};
    try { w.localStorage.removeItem(key); } catch (e) { /* nothing was kept */ }
  }

  // Plain text needs no preflight; the edge reads it as JSON.
  function send(body, done) {
    body.advertiser = conf.advertiser;
    body.consent = allowed() ? "granted" : "denied";
    var text = JSON.stringify(body), url = base + "/e";
    if (!done && w.navigator.sendBeacon && w.navigator.sendBeacon(url, text)) return;
    w.fetch(url, { method: "POST", body: text, keepalive: true, credentials: "omit", headers: { "Content-Type": "text/plain" } })
      .then(function (r) { return r.json(); }).then(done || function () {}, function () {});
  }

  // Who this is, as far as the visitor agreed: a random number of this site, or the shop's own customer id.
  function bind() {
    var s = load();
    if (!allowed() || !s.click_id || !(s.visitor_id || s.customer_id)) return;
    var now = [s.click_id, s.visitor_id, s.customer_id].join();
    if (s.bound === now) return;
    send({ type: "touch", click_id: s.click_id, visitor_id: s.visitor_id, customer_id: s.customer_id });
    save({ bound: now });
  }

  function visitor() {
    if (!allowed()) return;
    save({ visitor_id: load().visitor_id || w.crypto.randomUUID && w.crypto.randomUUID() || String(Math.random()).slice(2) });
    bind();
  }

  var commands = {
    consent: function (state) {
      var before = memory;
      consent = state;
      if (!allowed()) return forget();
      save(before.click_id ? { click_id: before.click_id } : {});
      visitor();
    },
    identify: function (who) {
      save({ customer_id: String(who.customer_id) });
      bind();
    },
    // A page that partners link to directly: the click is registered here, without a redirect.
    click: function (what) {
      send(Object.assign({ type: "click", referrer: d.referrer }, what), function (r) {
        if (r.click_id) { save({ click_id: r.click_id, bound: "" }); visitor(); }
      });
    },
    conversion: function (order) {
      var s = load();
      order = Object.assign({ type: "conversion", click_id: s.click_id, visitor_id: s.visitor_id, customer_id: s.customer_id }, order);
      if (order.amount !== undefined) order.amount = String(order.amount);
      send(order);
    }
  };

  function push(call) {
    var command = commands[call[0]];
    if (command) command(call[1]);
  }

  var arrived = new URLSearchParams(w.location.search).get(conf.parameter || "click_id");
  if (arrived) save({ click_id: arrived, bound: "" });
  visitor();
  var queued = w.tributary || [];
  w.tributary = { loaded: true, push: push };
  queued.forEach(push);
})(window, document);
