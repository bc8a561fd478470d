// The demo page: its markup and its icon. Style and behaviour are in files of their own, since the page's security policy allows nothing inline.

export const DEMO_ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0f766e"/><path d="M6 12c3.3 0 3.3 3 6.7 3s3.3-3 6.6-3 3.4 3 6.7 3M6 19c3.3 0 3.3 3 6.7 3s3.3-3 6.6-3 3.4 3 6.7 3" fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round"/></svg>
`;

export const DEMO_PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sluice · live</title>
<link rel="icon" href="/demo.svg" type="image/svg+xml">
<link rel="stylesheet" href="/demo.css">
<script src="/demo.js" defer></script>
</head>
<body>
<header>
  <div class="brand"><img src="/demo.svg" alt="" width="28" height="28"><span>Sluice</span></div>
  <div class="links" role="status" aria-live="polite">
    <span class="link" id="mqtt-state" data-state="connecting"><i></i>MQTT <b>connecting</b></span>
    <span class="link" id="stomp-state" data-state="connecting"><i></i>STOMP <b>connecting</b></span>
  </div>
  <button id="theme" class="quiet" type="button" title="Light or dark" aria-label="Light or dark">◐</button>
</header>
<main>
  <section class="intro">
    <h1>One message, every protocol</h1>
    <p>This page is two clients of the broker: one speaks MQTT, one STOMP, each over a WebSocket. Publish from a terminal, and both receive it:</p>
    <div class="command"><code id="command">mosquitto_pub -t plant/line1/temp -m 21.5</code><button id="copy" class="quiet" type="button">Copy</button></div>
  </section>

  <form id="sign-in" class="card" hidden>
    <h2>Sign in</h2>
    <p id="sign-in-why">The broker wants to know who you are.</p>
    <div class="fields">
      <label>User<input id="user" autocomplete="username" required></label>
      <label>Password<input id="password" type="password" autocomplete="current-password"></label>
      <button type="submit">Connect</button>
    </div>
  </form>

  <form id="publish" class="card">
    <div class="title"><h2>Publish</h2><span id="published" class="note" role="status" aria-live="polite"></span></div>
    <div class="fields">
      <label class="wide">Topic<input id="topic" value="plant/demo" spellcheck="false" autocomplete="off" required></label>
      <label class="wide">Message<input id="payload" value="hello" autocomplete="off"></label>
      <fieldset class="choice">
        <legend>Protocol</legend>
        <label><input type="radio" name="protocol" value="mqtt" checked>MQTT</label><label><input type="radio" name="protocol" value="stomp">STOMP</label>
      </fieldset>
      <label class="check" title="The broker keeps it for whoever subscribes later. An empty retained message removes it."><input id="retain" type="checkbox">Retain</label>
      <button type="submit">Publish</button>
    </div>
  </form>

  <section class="card">
    <div class="title"><h2>Latest values</h2>
      <form id="subscribe"><label>Topics <input id="filter" value="plant/#" spellcheck="false" autocomplete="off" required></label></form></div>
    <div id="values" class="values"></div>
    <p id="no-values" class="empty">Nothing yet. Publish something above, or from a terminal.</p>
  </section>

  <div class="feeds">
    <section class="card feed" data-protocol="mqtt">
      <div class="title"><h2>Received over MQTT</h2><span class="count" id="mqtt-count">0</span></div>
      <ol id="mqtt-feed"></ol>
    </section>
    <section class="card feed" data-protocol="stomp">
      <div class="title"><h2>Received over STOMP</h2><span class="count" id="stomp-count">0</span></div>
      <ol id="stomp-feed"></ol>
    </section>
  </div>
</main>
<noscript><p class="empty">This page needs JavaScript: it is an MQTT and a STOMP client.</p></noscript>
</body>
</html>
`;
