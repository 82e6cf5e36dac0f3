// The widget of sidelight. Plain DOM, nothing is loaded from elsewhere. Every text is set as text and never as HTML.

/** Milliseconds without a key before a text is sent. */
const QUIET = 150;
/** Milliseconds after which an answer is given up, for example because the kernel was restarted. */
const PATIENCE = 10000;
/** Pixels that a tall picture may take on the screen. */
const TALLEST = 480;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A name among words. If it runs from right to left, invisible marks keep the number after it in its place. */
const among = (name) => (/[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(name) ? `\u200e${name}\u200e` : name);

const percent = (p) => `${(100 * p).toFixed(1)}\u00a0%`;

/** One change is under way at a time. While it is, only the latest of the next ones is kept. */
function sender(model) {
  let busy = false;
  let next = null;
  let since = 0;
  const send = (changes) => {
    if (busy && Date.now() - since < PATIENCE) {
      next = { ...next, ...changes };
      return;
    }
    // a change to the value that is there already has no answer to wait for
    const news = Object.entries(changes).filter(([k, v]) => JSON.stringify(model.get(k)) !== JSON.stringify(v));
    if (!news.length) return;
    busy = true;
    since = Date.now();
    for (const [name, value] of news) model.set(name, value);
    model.save_changes();
  };
  const answered = () => {
    busy = false;
    const waiting = next;
    next = null;
    if (waiting) send(waiting);
  };
  return { send, answered };
}

/** Dark or light as the notebook is, where it says so. Elsewhere as the browser is. */
function follow(root) {
  const set = () => {
    const said = document.body.dataset.jpThemeLight;
    const code = document.body.className;
    const dark = said === "false" || /vscode-dark|theme-dark|dark-theme/.test(code);
    const light = said === "true" || /vscode-light|theme-light|light-theme/.test(code);
    root.classList.toggle("sl-dark", dark);
    root.classList.toggle("sl-light", light && !dark);
  };
  set();
  const watch = new MutationObserver(set);
  watch.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light"] });
  return () => watch.disconnect();
}

/** Colour of a score, or of an effect as a share of the strongest one: orange speaks for the class, and blue against it. */
const colour = (v) => `rgba(${v < 0 ? "77, 166, 255" : "255, 153, 0"}, ${Math.abs(v).toFixed(3)})`;

function words(model, shown, send) {
  const box = make("div", { class: "sl-words", dir: "auto", role: "group", "aria-label": "Words. Press one to remove it or to bring it back." });
  let drawn = null;
  let drawnEffects = false;
  const draw = () => {
    const view = model.get("view");
    drawn = view;
    drawnEffects = shown.effects;
    box.replaceChildren();
    view.words.forEach((word, i) => {
      if (!view.read[i]) {
        box.append(make("span", { class: "sl-unread", title: "not read by the model" }, word));
        return;
      }
      const body = word.trim();
      const [before, after] = [word.slice(0, word.indexOf(body)), word.slice(word.indexOf(body) + body.length)];
      const score = view.word_scores[i];
      const effect = view.word_effects.length ? `, effect ${view.word_effects[i].toFixed(3)}` : "";
      // a span, because browsers keep the order of buttons, though a text from right to left has numbers and other scripts in it
      const button = make("span", { role: "button", tabindex: "0", class: "sl-word", title: `score ${score.toFixed(2)}${effect}` }, body);
      const strength = drawnEffects ? view.word_strengths[i] : score;
      button.style.backgroundColor = colour(strength);
      button.classList.toggle("sl-strong", Math.abs(strength) >= (strength < 0 ? 0.64 : 0.57));
      button.dataset.word = i;
      const toggle = () => {
        const now = new Set(model.get("removed"));
        if (!now.delete(i)) now.add(i);
        send({ removed: [...now].sort((a, b) => a - b) });
      };
      button.addEventListener("click", toggle);
      button.addEventListener("keydown", (event) => {
        if (event.repeat || (event.key !== "Enter" && event.key !== " ")) return;
        event.preventDefault();
        toggle();
      });
      box.append(before, button, after);
    });
  };
  const update = () => {
    if (drawn !== model.get("view") || drawnEffects !== shown.effects) draw();
    const { stays } = model.get("answer");
    const removed = new Set(model.get("removed"));
    for (const button of box.querySelectorAll(".sl-word")) {
      const i = Number(button.dataset.word);
      button.classList.toggle("sl-gone", !stays[i]);
      button.classList.toggle("sl-removed", removed.has(i));
      button.setAttribute("aria-pressed", String(removed.has(i)));
    }
  };
  return { element: box, update };
}

/** The words with their values, folded up: touch screens and screen readers show no tooltip. */
function list(model, shown) {
  const title = make("summary");
  const lines = make("ol");
  const box = make("details", { class: "sl-list" }, title, lines);
  let drawn = null;
  const update = () => {
    const found = model.get("view").listed[shown.effects ? "effects" : "scores"];
    if (drawn === found) return;
    drawn = found;
    box.hidden = !found.title;
    title.textContent = found.title ?? "";
    // its own direction, so that the number stays behind it
    lines.replaceChildren(...(found.lines ?? []).map(([word, value]) => make("li", {}, make("bdi", { lang: "" }, word), ` ${value}`)));
  };
  return { element: box, update };
}

function pictures(model, shown) {
  const figure = (name, text) => {
    const image = make("img", { alt: name });
    const caption = make("figcaption", {}, text);
    return { image, caption, element: make("figure", {}, caption, image) };
  };
  const [input, heat, masked] = [figure("input", "Input"), figure("scores", "Score"), figure("masked input", "What is left")];
  const box = make("div", { class: "sl-pictures" }, input.element, heat.element, masked.element);
  let values = new Uint8Array();
  let drawn = null;
  let drawnEffects = false;
  heat.image.addEventListener("mousemove", (event) => {
    if (drawnEffects) return;
    const [rows, columns] = model.get("view").size;
    const place = heat.image.getBoundingClientRect();
    const column = Math.min(columns - 1, Math.max(0, Math.floor(((event.clientX - place.left) / place.width) * columns)));
    const row = Math.min(rows - 1, Math.max(0, Math.floor(((event.clientY - place.top) / place.height) * rows)));
    heat.caption.textContent = `Score ${(values[row * columns + column] / 255).toFixed(2)} at ${column}, ${row}`;
  });
  const name = () => { heat.caption.textContent = drawnEffects ? "For and against" : "Score"; };
  heat.image.addEventListener("mouseleave", name);
  const update = () => {
    const view = model.get("view");
    const { effects } = shown; // never true beside a scorer without effects, whose control is hidden
    if (drawn !== view || drawnEffects !== effects) {
      [drawn, drawnEffects] = [view, effects];
      input.image.src = view.image;
      heat.image.src = effects ? view.effects_image : view.heat;
      heat.image.alt = `${effects ? "effects on" : "scores for"} ${view.explained}`;
      name();
      values = Uint8Array.from(atob(view.pixel_scores), (c) => c.charCodeAt(0));
      for (const f of [input, heat, masked]) {
        f.image.classList.toggle("sl-crisp", view.crisp);
        f.element.style.maxWidth = `${Math.min(232, Math.ceil((TALLEST * view.size[1]) / view.size[0]))}px`;
      }
    }
    masked.image.src = model.get("answer").image;
  };
  return { element: box, update };
}

function chooser(model, name, text, first, send) {
  const select = make("select", {});
  const label = make("label", {}, text, select);
  let known = "";
  const update = () => {
    const { classes } = model.get("view");
    label.hidden = classes.length < 2;
    if (known !== JSON.stringify(classes)) {
      known = JSON.stringify(classes);
      select.replaceChildren(make("option", { value: "" }, first), ...classes.map((c, i) => make("option", { value: String(i) }, c)));
    }
    select.value = model.get(name);
  };
  select.addEventListener("change", () => send({ [name]: select.value }));
  return { element: label, update };
}

/** What the colours show. Nothing is asked of Python: the view holds both. */
function colours(model, shown, redraw) {
  const select = make("select", {}, make("option", { value: "scores" }, "scores"), make("option", { value: "effects" }, "for and against"));
  const label = make("label", {}, "Colours show", select);
  const note = make("div", { class: "sl-muted", "aria-live": "polite" });
  select.addEventListener("change", () => {
    shown.effects = select.value === "effects";
    redraw();
  });
  const update = () => {
    const { effects } = model.get("view");
    label.hidden = effects === "";
    note.textContent = shown.effects ? effects : "";
  };
  return { element: label, note, update };
}

function fills(model, send) {
  const options = model.get("fills").map((f) => make("option", { value: f }, f));
  const select = make("select", {}, ...options);
  select.addEventListener("change", () => send({ fill: select.value }));
  return { element: make("label", {}, "Stands in for what is removed", select), update: () => { select.value = model.get("fill"); } };
}

function verdict(model) {
  const label = make("b");
  const probability = make("span", { class: "sl-now" });
  const about = make("span", { class: "sl-muted" });
  const head = make("div", { class: "sl-head" }, label, probability, about);
  const bars = make("div", {});
  const notes = make("div", { class: "sl-muted" });
  const update = () => {
    const view = model.get("view");
    label.textContent = view.label;
    probability.textContent = percent(view.probability);
    about.textContent = `map of ${among(view.explained)}${view.versus ? `, not ${among(view.versus)}` : ""}`;
    bars.replaceChildren(...view.bars.map(([name, p]) => {
      const filled = make("span");
      filled.style.width = `${100 * p}%`;
      const track = make("span", { class: "sl-track", "aria-hidden": "true" }, filled);
      return make("div", { class: "sl-bar" }, make("span", { title: name }, name), track, make("span", {}, percent(p)));
    }));
    notes.replaceChildren(...view.remarks.map((r) => make("div", {}, r)));
  };
  return { element: make("div", {}, head, bars, notes), update };
}

function slider(model, send) {
  const range = make("input", { type: "range", min: "0", max: "100", step: "1" });
  const shown = make("span", { class: "sl-now" });
  const told = make("div", { class: "sl-now", "aria-live": "polite" });
  range.addEventListener("input", () => {
    shown.textContent = `${range.value} %`;
    send({ share: Number(range.value) / 100 });
  });
  const update = () => {
    const answer = model.get("answer");
    if (document.activeElement !== range) range.value = String(Math.round(100 * model.get("share")));
    shown.textContent = `${range.value} %`;
    range.setAttribute("aria-valuetext", `best ${range.value} percent kept, ${model.get("view").explained} ${percent(answer.explained_probability)}`);
    const { explained } = model.get("view");
    const own = answer.label === explained ? "" : ` ${among(explained)} has ${percent(answer.explained_probability)}.`;
    told.textContent = `The model now says ${among(answer.label)}, ${percent(answer.probability)}.${own} (${answer.milliseconds.toFixed(0)} ms)`;
  };
  const label = make("label", {}, "Keep the best ", shown, range);
  return { element: make("div", {}, label, told), update };
}

function typing(model, send) {
  const area = make("textarea", { rows: "2", maxlength: String(model.get("longest")), dir: "auto" });
  area.value = model.get("text");
  let timer = 0;
  area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => send({ text: area.value }), QUIET);
  });
  const update = () => {
    area.parentElement.hidden = !model.get("view").typing;
    if (document.activeElement !== area) area.value = model.get("text");
  };
  return { element: make("label", {}, "Text", area), update, stop: () => clearTimeout(timer) };
}

function render({ model, el }) {
  const { send, answered } = sender(model);
  const view = model.get("view");
  const shown = { effects: false };
  const parts = [verdict(model)];
  if (view.words) parts.unshift(typing(model, send));
  if (view.image) parts.push(pictures(model, shown));
  if (view.words) parts.push(words(model, shown, send), list(model, shown));
  parts.push(slider(model, send));
  const coloured = colours(model, shown, () => update());
  const controls = [
    coloured,
    chooser(model, "target", "Map of", "the predicted class", send),
    chooser(model, "versus", "and not of", "(no other class)", send),
    fills(model, send),
  ];
  const error = make("p", { class: "sl-error", role: "alert" });
  const root = make("div", { class: "sidelight-live", role: "region", "aria-label": "Live explanation" });
  root.append(...parts.map((p) => p.element), coloured.note, make("div", { class: "sl-controls" }, ...controls.map((c) => c.element)), error);
  const update = () => {
    for (const part of [...parts, ...controls]) part.update();
    error.textContent = model.get("error");
  };
  const done = () => { update(); answered(); };
  model.on("change:answer", done);
  model.on("change:view", update);
  model.on("change:error", update);
  const stop = follow(root);
  el.append(root);
  update();
  return () => {
    model.off("change:answer", done);
    model.off("change:view", update);
    model.off("change:error", update);
    for (const part of parts) part.stop?.();
    stop();
  };
}

export default { render };
