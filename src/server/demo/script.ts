// The demo page's behaviour: a small MQTT 3.1.1 client and a small STOMP 1.2 client over WebSocket, and the page around them. It runs in the browser, as it
// stands here, so it is plain JavaScript without template literals. Bounded: the lists on the page, and what one message shows of itself.

export const DEMO_SCRIPT = String.raw`'use strict';
(() => {
  const encoder = new TextEncoder();
  const byId = (id) => document.getElementById(id);

  // ---- bytes

  const concat = (parts) => {
    let size = 0;
    for (const part of parts) size += part.length;
    const whole = new Uint8Array(size);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  };

  const TEXT_MAX = 500;

  /** What a payload shows of itself: its text, or its bytes where it is none. */
  const textOf = (bytes) => {
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      if (!/[\u0000-\u0008\u000e-\u001f]/.test(text)) return text.length > TEXT_MAX ? text.slice(0, TEXT_MAX) + '…' : text;
    } catch {
      // Not UTF-8: shown as bytes.
    }
    const hex = Array.from(bytes.subarray(0, 48), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    return bytes.length > 48 ? hex + ' … (' + bytes.length + ' bytes)' : hex;
  };

  // ---- topics: MQTT writes levels with '/', STOMP with '.', and what would be mistaken in a level is written %XX

  const escapeLevel = (level) => level.replace(/[%./*#]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
  const toDestination = (topic) => '/topic/' + topic.split('/').map(escapeLevel).join('.');
  const toPattern = (filter) =>
    '/topic/' +
    filter
      .split('/')
      .map((level) => (level === '+' ? '*' : level === '#' ? '#' : escapeLevel(level)))
      .join('.');
  const toTopic = (destination) =>
    destination
      .replace(/^\/topic\//, '')
      .split('.')
      .map((level) => level.replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))))
      .join('/');

  // ---- a connection that comes back by itself; the protocols below fill in the rest

  const RETRY_MS_MAX = 10000;

  class Link {
    constructor(path, subprotocol, events) {
      this.url = (location.protocol === 'https:' ? 'wss://' : 'ws://') + location.host + path;
      this.subprotocol = subprotocol;
      this.events = events;
      this.filter = '';
      this.user = null;
      this.password = '';
      this.state = '';
      this.retryMs = 500;
      this.beat = 0;
      this.retry = 0;
    }

    open() {
      clearTimeout(this.retry);
      this.rest = new Uint8Array(0);
      this.set('connecting');
      const socket = new WebSocket(this.url, this.subprotocol);
      this.socket = socket;
      socket.binaryType = 'arraybuffer';
      socket.onopen = () => this.hello();
      socket.onmessage = ({ data }) => {
        if (socket !== this.socket) return;
        this.heardAt = Date.now();
        const bytes = typeof data === 'string' ? encoder.encode(data) : new Uint8Array(data);
        const all = this.rest.length === 0 ? bytes : concat([this.rest, bytes]);
        this.rest = all.subarray(this.parse(all));
      };
      socket.onclose = () => {
        if (socket !== this.socket) return;
        clearInterval(this.beat);
        if (this.state === 'refused') return;
        this.set('disconnected');
        this.retry = setTimeout(() => this.open(), this.retryMs);
        this.retryMs = Math.min(this.retryMs * 2, RETRY_MS_MAX);
      };
    }

    signIn(user, password) {
      this.user = user;
      this.password = password;
      const old = this.socket;
      this.socket = null;
      old?.close();
      clearInterval(this.beat);
      this.open();
    }

    set(state) {
      this.state = state;
      this.events.onState(state);
    }

    connected(beatMs, beat, watched) {
      this.retryMs = 500;
      this.heardAt = Date.now();
      this.set('connected');
      if (this.filter !== '') this.subscribe(this.filter);
      clearInterval(this.beat);
      this.beat = setInterval(() => {
        if (watched && Date.now() - this.heardAt > 4 * beatMs) this.socket.close();
        else this.send(beat);
      }, beatMs);
    }

    refused(why) {
      this.set('refused');
      this.socket.close();
      this.events.onRefused(why);
    }

    send(bytes) {
      if (this.socket.readyState === WebSocket.OPEN) this.socket.send(bytes);
    }
  }

  // ---- MQTT 3.1.1

  const BEAT_MS = 15000;

  class MqttLink extends Link {
    constructor(events) {
      super('/mqtt', 'mqtt', events);
      this.packetId = 0;
    }

    static string(text) {
      const bytes = encoder.encode(text);
      return concat([[bytes.length >> 8, bytes.length & 255], bytes]);
    }

    static packet(first, parts) {
      const body = concat(parts);
      const length = [];
      let left = body.length;
      do {
        length.push((left & 127) | (left > 127 ? 128 : 0));
        left >>>= 7;
      } while (left > 0);
      return concat([[first], length, body]);
    }

    nextId() {
      this.packetId = (this.packetId % 65535) + 1;
      return [this.packetId >> 8, this.packetId & 255];
    }

    hello() {
      const id = 'demo-' + Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, '0')).join('');
      const signedIn = this.user !== null;
      const keepAlive = (2 * BEAT_MS) / 1000;
      const parts = [MqttLink.string('MQTT'), [4, signedIn ? 0xc2 : 0x02, keepAlive >> 8, keepAlive & 255], MqttLink.string(id)];
      if (signedIn) parts.push(MqttLink.string(this.user), MqttLink.string(this.password));
      this.send(MqttLink.packet(0x10, parts));
    }

    subscribe(filter) {
      if (this.state === 'connected') {
        if (this.subscribed) this.send(MqttLink.packet(0xa2, [this.nextId(), MqttLink.string(this.subscribed)]));
        this.send(MqttLink.packet(0x82, [this.nextId(), MqttLink.string(filter), [0]]));
      }
      this.subscribed = filter;
      this.filter = filter;
    }

    publish(topic, payload, retain) {
      this.send(MqttLink.packet(0x30 | (retain ? 1 : 0), [MqttLink.string(topic), payload]));
    }

    /** Takes whole packets; returns where it stopped. */
    parse(bytes) {
      let at = 0;
      for (;;) {
        let size = 0;
        let shift = 0;
        let body = at + 1;
        for (;;) {
          if (body >= bytes.length) return at;
          const byte = bytes[body++];
          size |= (byte & 127) << shift;
          shift += 7;
          if (byte < 128) break;
        }
        if (body + size > bytes.length) return at;
        this.onPacket(bytes[at], bytes.subarray(body, body + size));
        at = body + size;
      }
    }

    onPacket(first, body) {
      const type = first >> 4;
      if (type === 2) {
        this.subscribed = '';
        if (body[1] === 0) this.connected(BEAT_MS, MqttLink.packet(0xc0, []), true);
        else if (body[1] === 4 || body[1] === 5) this.refused(body[1] === 4 ? 'User name or password is wrong.' : 'The broker wants to know who you are.');
      } else if (type === 3) {
        const topicEnd = 2 + ((body[0] << 8) | body[1]);
        const topic = new TextDecoder().decode(body.subarray(2, topicEnd));
        const qos = (first >> 1) & 3;
        const payload = body.subarray(topicEnd + (qos > 0 ? 2 : 0));
        this.events.onMessage({ topic, where: topic, payload: payload.slice(), retained: (first & 1) === 1, badges: [] });
      } else if (type === 9 && body[2] >= 128) {
        this.events.onTrouble('MQTT: the subscription to ' + this.filter + ' was refused.');
      }
    }
  }

  // ---- STOMP 1.2

  class StompLink extends Link {
    constructor(events) {
      super('/stomp', 'v12.stomp', events);
      this.subscription = 0;
    }

    static frame(command, headers, body) {
      const escaped = (text) => text.replace(/[\\\r\n:]/g, (c) => ({ '\\': '\\\\', '\r': '\\r', '\n': '\\n', ':': '\\c' })[c]);
      let head = command + '\n';
      for (const [name, value] of Object.entries(headers)) head += escaped(name) + ':' + escaped(value) + '\n';
      return concat([encoder.encode(head + '\n'), body, [0]]);
    }

    hello() {
      const headers = 'accept-version:1.2\nhost:/\nheart-beat:' + BEAT_MS + ',' + BEAT_MS + '\n';
      // The one frame whose headers are not escaped, so that a line end must not get in.
      const plain = (text) => text.replace(/[\r\n\0]/g, '');
      const who = this.user === null ? '' : 'login:' + plain(this.user) + '\npasscode:' + plain(this.password) + '\n';
      this.send(encoder.encode('CONNECT\n' + headers + who + '\n\0'));
    }

    subscribe(filter) {
      if (this.state === 'connected') {
        if (this.subscription > 0) this.send(StompLink.frame('UNSUBSCRIBE', { id: String(this.subscription) }, []));
        this.subscription++;
        const headers = { id: String(this.subscription), destination: toPattern(filter), ack: 'auto' };
        this.send(StompLink.frame('SUBSCRIBE', headers, []));
      }
      this.filter = filter;
    }

    publish(topic, payload, retain) {
      const headers = { destination: toDestination(topic), 'content-type': 'text/plain', 'content-length': String(payload.length) };
      if (retain) headers.retain = 'true';
      this.send(StompLink.frame('SEND', headers, payload));
    }

    /** Takes whole frames and heart-beats; returns where it stopped. */
    parse(bytes) {
      let at = 0;
      for (;;) {
        while (bytes[at] === 10 || bytes[at] === 13) at++;
        let end = at;
        while (end < bytes.length && !(bytes[end] === 10 && (bytes[end + 1] === 10 || (bytes[end + 1] === 13 && bytes[end + 2] === 10)))) end++;
        if (end >= bytes.length) return at;
        const [command, ...lines] = new TextDecoder().decode(bytes.subarray(at, end)).split(/\r?\n/);
        const headers = Object.create(null);
        const plain = (text) => text.replace(/\\[\\rnc]/g, (c) => ({ '\\\\': '\\', '\\r': '\r', '\\n': '\n', '\\c': ':' })[c]);
        for (const line of lines) {
          const colon = line.indexOf(':');
          const name = plain(line.slice(0, colon));
          if (!(name in headers)) headers[name] = plain(line.slice(colon + 1));
        }
        const body = end + (bytes[end + 1] === 13 ? 3 : 2);
        const declared = headers['content-length'];
        const bodyEnd = declared === undefined ? bytes.indexOf(0, body) : body + Number(declared);
        if (bodyEnd === -1 || bodyEnd >= bytes.length) return at;
        this.onFrame(command, headers, bytes.slice(body, bodyEnd));
        at = bodyEnd + 1;
      }
    }

    onFrame(command, headers, body) {
      if (command === 'CONNECTED') {
        this.subscription = 0;
        // A broker that does not promise heart-beats may be silent.
        this.connected(BEAT_MS, encoder.encode('\n'), /^[1-9]/.test(headers['heart-beat'] ?? ''));
      } else if (command === 'MESSAGE') {
        const where = headers.destination ?? '';
        const badges = headers['content-type'] ? [headers['content-type']] : [];
        this.events.onMessage({ topic: toTopic(where), where, payload: body, retained: headers.retained === 'true', badges });
      } else if (command === 'ERROR') {
        const why = headers.message ?? 'error';
        if (this.state === 'connecting') this.refused(why);
        else this.events.onTrouble('STOMP: ' + why);
      }
    }
  }

  // ---- the page

  const ROWS_MAX = 100;
  const TILES_MAX = 60;
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const clock = () => new Date().toLocaleTimeString([], { hour12: false });

  /** The latest message of each topic, shown once per frame. */
  const tiles = new Map();
  const latest = new Map();
  const tileFor = (topic) => {
    const known = tiles.get(topic);
    if (known !== undefined) return known;
    if (tiles.size >= TILES_MAX) {
      const [oldest, { root }] = tiles.entries().next().value;
      root.remove();
      tiles.delete(oldest);
    }
    const root = element('div', 'tile');
    root.dataset.topic = topic;
    const made = { root, value: element('div', 'value'), when: element('span', ''), badge: element('span', 'badge', 'retained') };
    const foot = element('div', 'when');
    foot.append(made.when, made.badge);
    root.append(element('div', 'topic', topic), made.value, foot);
    byId('values').append(root);
    return made;
  };

  const showTiles = () => {
    const fresh = [];
    for (const [topic, { payload, retained, from, at }] of latest) {
      const tile = tileFor(topic);
      // The one that changed last is the last to go.
      tiles.delete(topic);
      tiles.set(topic, tile);
      const text = textOf(payload);
      tile.value.textContent = text === '' ? '(empty)' : text;
      tile.value.title = text;
      tile.when.textContent = at + ' over ' + from;
      tile.badge.hidden = !retained;
      tile.root.classList.remove('fresh');
      fresh.push(tile.root);
    }
    latest.clear();
    // Looked at in between, or the animation would not start anew.
    void byId('values').offsetWidth;
    for (const root of fresh) root.classList.add('fresh');
    byId('no-values').hidden = tiles.size > 0;
  };

  const noteLatest = (message, from) => {
    if (latest.size === 0) requestAnimationFrame(showTiles);
    latest.delete(message.topic);
    latest.set(message.topic, { ...message, from, at: clock() });
    if (latest.size > TILES_MAX) latest.delete(latest.keys().next().value);
  };

  const clear = () => {
    tiles.clear();
    latest.clear();
    byId('values').replaceChildren();
    byId('no-values').hidden = false;
    for (const name of ['mqtt', 'stomp']) byId(name + '-feed').replaceChildren();
  };

  /** Rows are made once per frame, however many messages come in between. */
  class Feed {
    constructor(name) {
      this.list = byId(name + '-feed');
      this.total = byId(name + '-count');
      this.count = 0;
      this.waiting = [];
    }

    add(message) {
      this.count++;
      this.waiting.push(message);
      if (this.waiting.length > ROWS_MAX) this.waiting.shift();
      if (this.waiting.length === 1) requestAnimationFrame(() => this.show());
    }

    show() {
      for (const { where, payload, retained, badges, at } of this.waiting) {
        const row = element('li', '');
        const head = element('div', 'where', where);
        for (const badge of retained ? ['retained', ...badges] : badges) head.append(element('span', 'badge', badge));
        head.append(element('time', '', at));
        row.append(head, element('div', 'payload', textOf(payload) || '(empty)'));
        this.list.prepend(row);
      }
      this.waiting = [];
      while (this.list.childElementCount > ROWS_MAX) this.list.lastElementChild.remove();
      this.total.textContent = this.count.toLocaleString();
    }
  }

  const note = (text, bad) => {
    byId('published').textContent = text;
    byId('published').classList.toggle('bad', bad);
  };

  const links = {};
  const eventsOf = (name, label) => {
    const feed = new Feed(name);
    return {
      onState: (state) => {
        const shown = byId(name + '-state');
        shown.dataset.state = state;
        shown.querySelector('b').textContent = state;
        if (links.mqtt?.state === 'connected' && links.stomp?.state === 'connected') byId('sign-in').hidden = true;
      },
      onMessage: (message) => {
        feed.add({ ...message, at: clock() });
        // Both get every message; one of them shows it here.
        if (name === 'mqtt' || links.mqtt.state !== 'connected') noteLatest(message, label);
      },
      onRefused: (why) => {
        byId('sign-in-why').textContent = why;
        byId('sign-in').hidden = false;
      },
      onTrouble: (text) => note(text, true),
    };
  };
  links.mqtt = new MqttLink(eventsOf('mqtt', 'MQTT'));
  links.stomp = new StompLink(eventsOf('stomp', 'STOMP'));

  byId('publish').addEventListener('submit', (event) => {
    event.preventDefault();
    const name = document.querySelector('input[name=protocol]:checked').value;
    const link = links[name];
    const topic = byId('topic').value;
    if (link.state !== 'connected') return note('Not connected over ' + name.toUpperCase() + '.', true);
    if (/[+#\0]/.test(topic)) return note('A topic to publish to has no + and no #.', true);
    link.publish(topic, encoder.encode(byId('payload').value), byId('retain').checked);
    note('Published over ' + name.toUpperCase() + ' at ' + clock() + '.', false);
  });

  byId('subscribe').addEventListener('submit', (event) => {
    event.preventDefault();
    const filter = byId('filter').value;
    clear();
    for (const link of Object.values(links)) link.subscribe(filter);
    byId('filter').blur();
  });

  byId('sign-in').addEventListener('submit', (event) => {
    event.preventDefault();
    for (const link of Object.values(links)) link.signIn(byId('user').value, byId('password').value);
  });

  // mosquitto_pub talks to its own machine unless told otherwise.
  if (!/^(localhost|127\..*|\[::1\])$/.test(location.hostname)) {
    const host = location.hostname.replace(/[\[\]]/g, '');
    byId('command').textContent = byId('command').textContent.replace('mosquitto_pub', 'mosquitto_pub -h ' + host);
  }

  byId('copy').addEventListener('click', async () => {
    const range = document.createRange();
    range.selectNodeContents(byId('command'));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    try {
      await navigator.clipboard.writeText(byId('command').textContent);
      byId('copy').textContent = 'Copied';
    } catch {
      // No access to the clipboard (a page without TLS): it is selected at least.
      byId('copy').textContent = 'Selected';
    }
    setTimeout(() => (byId('copy').textContent = 'Copy'), 1500);
  });

  const THEME = 'sluice-theme';
  const systemIsDark = () => matchMedia('(prefers-color-scheme: dark)').matches;
  if (localStorage.getItem(THEME)) document.documentElement.dataset.theme = localStorage.getItem(THEME);
  byId('theme').addEventListener('click', () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : systemIsDark();
    root.dataset.theme = dark ? 'light' : 'dark';
    localStorage.setItem(THEME, root.dataset.theme);
  });

  for (const link of Object.values(links)) {
    link.filter = byId('filter').value;
    link.open();
  }
})();
`;
