/* Rank what the index holds for a query. Fetched with the index, when someone searches. Words are
   compared without their endings; a word that nothing holds gives way to the nearest that is held. */
window.dlkbRank = (() => {
  const SMALL = new Set(
    ("a an and are as at be by do does for from has have how i in is it its my not of on or so that the " +
      "there this to was what when where which why will with").split(" ")
  )
  const FIELDS = { title: 10, also: 6, page: 4 } // what a word is worth there
  const IN_TEXT = 2
  const KINDS = { page: 1.3, overview: 0.9, symptom: 1.4, section: 1, api: 0.7, claim: 0.85 }
  const SAME_TITLE = { page: 20, overview: 20, symptom: 20, section: 14, api: 6, claim: 14 }

  const words = (text) =>
    text.toLowerCase().replace(/\bc-(?=\d{3}\b)/g, "c").match(/\d+(?:\.\d+)+|[\p{L}\p{N}]+/gu) || []

  function stem(word) {
    const short = word.replace(/(?:ing|ed|es|e|([^s])s)$/, "$1")
    return short.length > 2 ? short : word
  }

  /* A text's words that say something, in one form for all ways to put it. */
  const phrase = (text) =>
    words(text)
      .filter((word) => !SMALL.has(word))
      .map(stem)
      .join(" ")
  /* A phrase, and how it is written without hyphens. */
  const phrases = (text) => [...new Set([phrase(text), phrase(text.replaceAll("-", ""))])]
  const group = (kind) => (kind in KINDS ? kind : "claim") // a claim's kind is its verdict

  /* Make the titles ready: each entry, and for each word where it stands. */
  function prepare({ pages, entries }) {
    const known = new Map() // stem → how it is written, and the entries by field
    const places = (word) => {
      const key = stem(word)
      if (!known.has(key)) known.set(key, { written: word, title: new Set(), also: new Set(), page: new Set() })
      return known.get(key)
    }
    const put = (text, field, number) => {
      const own = words(text)
      for (const word of own) places(word)[field].add(number)
      if (text.includes("-")) // who writes fine-tuning as one word finds it, too
        for (const word of words(text.replaceAll("-", ""))) places(word)[field].add(number)
      return own.length
    }
    const ready = entries.map(([page, kind, anchor, title, also], number) => {
      const [url, name] = pages[page]
      put(name, "page", number)
      return {
        kind,
        title,
        page: name,
        url: url + (anchor && `#${anchor}`),
        group: group(kind),
        names: phrases(title),
        phrases: also.split(", ").flatMap(phrases),
        length: { title: put(title, "title", number), also: put(also, "also", number) },
      }
    })
    return { entries: ready, known }
  }

  /* Texts come later than titles. A copy with spaces between words is searched. */
  function addTexts(index, texts) {
    index.entries.forEach((entry, i) => {
      entry.text = texts[i]
      entry.searched = ` ${texts[i].toLowerCase().replace(/[^\p{L}\p{N}.]/gu, " ")}`
    })
  }

  /* What a word is worth to each entry: all of it where it stands, less where a longer one does. */
  function worth(word, index) {
    const found = new Map()
    const add = (number, value, title) => {
      const before = found.get(number)
      if (!before || before.value < value) found.set(number, { value, title: title || before?.title })
      else if (title) before.title = true
    }
    for (const [other, places] of index.known) {
      if (!other.startsWith(word)) continue
      const share = other == word ? 1 : (0.75 * word.length) / other.length
      for (const field in FIELDS)
        for (const number of places[field]) {
          // One of very many words that find an entry says little about it.
          const rare = field == "also" ? Math.min(1, 30 / index.entries[number].length.also) : 1
          add(number, FIELDS[field] * share * rare, field == "title")
        }
    }
    index.entries.forEach((entry, number) => {
      if (entry.searched?.includes(` ${word}`)) add(number, IN_TEXT)
    })
    return found
  }

  /* How many letters to insert, drop, exchange or swap. */
  function distance(one, other) {
    let before, last = Array.from({ length: other.length + 1 }, (_, j) => j)
    for (let i = 1; i <= one.length; i++) {
      const row = [i]
      for (let j = 1; j <= other.length; j++) {
        const differs = one[i - 1] != other[j - 1]
        row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + differs)
        if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1])
          row[j] = Math.min(row[j], before[j - 2] + 1)
      }
      ;[before, last] = [last, row]
    }
    return last[other.length]
  }

  function nearest(word, index) {
    let best, least = Infinity
    for (const [other, { written }] of index.known) {
      if (Math.abs(other.length - word.length) > 3 && other.length < word.length) continue
      // Who is still typing has not come to the word's end; the first letter is seldom wrong.
      const begun = other.slice(0, word.length + 1)
      const far = Math.min(distance(word, other), distance(word, begun) + 0.5) + (other[0] != word[0]) * 0.75
      if (far < least) [best, least] = [{ stem: other, written, close: far <= Math.max(1, word.length / 3) }, far]
    }
    return best
  }

  /* Read a query: its words with what they are worth; what nothing holds is exchanged or left out. */
  function read(text, index) {
    const terms = words(text).map((written) => {
      const weight = SMALL.has(written) ? 0.1 : 1
      const found = worth(stem(written), index)
      const near = found.size || weight < 1 ? null : nearest(stem(written), index)
      return { written, word: stem(written), weight, found, near }
    })
    const hopeless = terms.every(({ found, near }) => !found.size && !near?.close)
    for (const term of terms) {
      if (!term.near || !(term.near.close || hopeless)) continue
      term.word = term.near.stem
      term.found = worth(term.word, index)
    }
    const unheld = terms.filter(({ near }) => near)
    return {
      terms: terms.filter(({ found }) => found.size),
      instead: unheld.map(({ written, near, found }) => [written, found.size ? near.written : ""]),
    }
  }

  function score(entry, number, terms, whole, all) {
    let total = 0, matched = 0, inTitle = 0
    for (const { found, weight } of terms) {
      const here = found.get(number)
      if (!here) continue
      total += weight * here.value
      matched += weight
      inTitle += Boolean(here.title)
    }
    if (whole && entry.names.includes(whole)) total += SAME_TITLE[entry.group] * all
    else if (whole && entry.phrases.includes(whole)) total += 9 * all
    else if (terms.length > 1 && whole && [...entry.names, ...entry.phrases].some((text) => ` ${text} `.includes(` ${whole} `)))
      total += 4 * all
    const own = entry.length.title ? inTitle / entry.length.title : 0
    return total * (matched / all) ** 2 * (0.75 + 0.25 * own) * KINDS[entry.group]
  }

  /* Return the best entries, the words that found them, and which words nothing holds. */
  function rank(index, text, limit = 24) {
    const { terms, instead } = read(text, index)
    const whole = terms.filter(({ weight }) => weight == 1).map(({ word }) => word).join(" ")
    const all = terms.reduce((sum, { weight }) => sum + weight, 0)
    const found = [...new Set(terms.flatMap(({ found }) => [...found.keys()]))]
      .map((number) => [index.entries[number], score(index.entries[number], number, terms, whole, all)])
      .sort((one, other) => other[1] - one[1])
    const results = found.filter(([, value]) => value > 0.08 * found[0][1]).slice(0, limit)
    return { results: results.map(([entry]) => entry), words: terms.map(({ word }) => word), instead }
  }

  /* A piece of the entry's text around the first of the words. */
  function excerpt(entry, wanted, length = 150) {
    if (!entry.text) return ""
    const places = wanted.map((word) => entry.searched.indexOf(` ${word}`)).filter((at) => at >= 0)
    const at = places.length ? Math.min(...places) : 0
    const start = at < 60 ? 0 : entry.text.indexOf(" ", at - 50) + 1
    const piece = entry.text.slice(start, start + length)
    const end = start + length < entry.text.length
    return (start ? "… " : "") + (end ? `${piece.replace(/\s+\S*$/, "")} …` : piece)
  }

  return { prepare, addTexts, rank, excerpt }
})()
