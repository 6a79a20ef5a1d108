// Tributary: keeps a click id first-party, after consent; reports conversions. See docs/tracking.md.
(function (w, d) {
  "use strict";
  var tag = d.currentScript || d.querySelector("script[data-advertiser]");
  if (!tag || w.tributary && w.tributary.loaded) return;
  var conf = tag.dataset, base = new URL(tag.src, d.baseURI).origin, key = "tributary";
  var days = Number(conf.days) || 90, consent = conf.consent || "wait";
  // What this page was told; and what is kept where the browser stores nothing.
  var told = {}, kept = {};

  // Global Privacy Control outweighs whatever the page says.
  function allowed() {
    return consent === "granted" && w.navigator.globalPrivacyControl !== true;
  }

  function load() {
    if (!allowed()) return told;
    try {
      var stored = JSON.parse(w.localStorage.getItem(key));
      if (stored && stored.until > Date.now()) return stored;
      if (stored) forget();
    } catch (e) { /* no storage, or another's */ }
    return kept;
  }

  function save(more) {
    if (!allowed()) return;
    var old = load(), all = Object.assign({}, old, more);
    if (!old.until || all.click_id !== old.click_id) all.until = Date.now() + days * 864e5;
    try { w.localStorage.setItem(key, JSON.stringify(all)); } catch (e) { kept = all; }
  }

  function forget() {
    kept = {};
    try { w.localStorage.removeItem(key); } catch (e) {}
  }

  // Plain text needs no preflight.
  function send(body, done) {
    body.advertiser = conf.advertiser;
    body.consent = allowed() ? "granted" : "denied";
    // Without consent nobody is named.
    if (!allowed()) delete body.customer_id, delete body.visitor_id;
    var text = JSON.stringify(body), url = base + "/e";
    if (!done && w.navigator.sendBeacon && w.navigator.sendBeacon(url, text)) return;
    w.fetch(url, { method: "POST", body: text, keepalive: true, credentials: "omit", headers: { "Content-Type": "text/plain" } })
      .then(function (r) { return r.json(); }).then(done || function () {}).catch(function () {});
  }

  function named(type) {
    var s = load();
    return { type: type, click_id: s.click_id, visitor_id: s.visitor_id, customer_id: s.customer_id };
  }

  // Whose click it was: this site's random number's, and the shop's customer's.
  function bind() {
    var s = load();
    if (!allowed() || !s.click_id) return;
    if (!s.visitor_id) {
      save({ visitor_id: w.crypto.getRandomValues(new Uint32Array(4)).join("-") });
      s = load();
    }
    var now = [s.click_id, s.visitor_id, s.customer_id].join();
    if (s.bound === now) return;
    // Said again until the edge has it, or never will.
    send(named("touch"), function (r) {
      if (/accepted|foreign_touch|invalid_click_id/.test(r.status + r.reason)) save({ bound: now });
    });
  }

  function tell(more) {
    Object.assign(told, more);
    save(more);
    bind();
  }

  var commands = {
    consent: function (state) {
      if (state === consent) return;
      consent = state;
      if (!allowed()) return forget();
      if (told.click_id || told.customer_id) save(told);
      bind();
    },
    identify: function (who) {
      if (who && who.customer_id) tell({ customer_id: String(who.customer_id) });
    },
    // Partners link to this page directly: no redirect registers the click.
    click: function (what) {
      send(Object.assign({ type: "click", referrer: d.referrer }, what), function (r) {
        if (r.click_id) tell({ click_id: r.click_id });
      });
    },
    conversion: function (order) {
      order = Object.assign(named("conversion"), order);
      if (order.amount !== undefined) order.amount = String(order.amount);
      send(order);
    }
  };

  function push(call) {
    var command = call && commands[call[0]];
    if (command) command(call[1]);
  }

  var arrived = new URLSearchParams(w.location.search).get(conf.parameter || "click_id");
  if (arrived) tell({ click_id: arrived });
  else bind();
  var queued = w.tributary || [];
  w.tributary = { loaded: true, push: push };
  queued.forEach(push);
})(window, document);
