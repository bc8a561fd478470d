// Which filters match which topics, judged by the specification alone: level by level, without a trie, so that the broker's way of doing it has something to be compared with.

const known = new Map<string, Map<string, boolean>>();

/** MQTT 5.0 section 4.7. */
export function matches(filter: string, topic: string): boolean {
  let topics = known.get(filter);
  if (topics === undefined) {
    topics = new Map();
    known.set(filter, topics);
  }
  let answer = topics.get(topic);
  if (answer === undefined) {
    answer = judge(filter, topic);
    topics.set(topic, answer);
  }
  return answer;
}

function judge(filter: string, topic: string): boolean {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  if (topic.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false;
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '#') return true;
    if (i >= levels.length) return false;
    if (wanted[i] !== '+' && wanted[i] !== levels[i]) return false;
  }
  return wanted.length === levels.length;
}
