// Draws a page's anywidgets without a kernel: each carries its own code, and needs only a model.
// Core widgets are left to live-only.js. Not a module: those do not load from file://.
(() => {
  const tags = (kind) => [...document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`)];
  const once = (make, made = new Map()) => (key) => made.get(key) ?? made.set(key, make(key)).get(key);

  class Model { // what a view asks of anywidget's model
    #state; #calls = {};
    constructor(state) { this.#state = { ...state }; }
    get(key) { return this.#state[key]; }
    set(key, value) {
      if (Object.is(this.#state[key], value)) return;
      this.#state[key] = value;
      for (const call of [...(this.#calls[`change:${key}`] ?? [])]) call(this, value);
    }
    on(name, call) { (this.#calls[name] ??= new Set()).add(call); }
    off(name, call) { this.#calls[name]?.delete(call); }
    save_changes() {} // there is no kernel to tell
    send() {}
  }

  const load = once(async (text) => {
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    const { default: widget } = await import(url);
    return typeof widget === "function" ? widget() : widget;
  });
  const dress = once((css) => (document.head.appendChild(document.createElement("style")).textContent = css));

  addEventListener("DOMContentLoaded", () => {
    const states = Object.assign({}, ...tags("state").map((tag) => JSON.parse(tag.textContent).state));
    const model = once((id) => new Model(states[id].state)); // the views of one widget share it
    for (const tag of tags("view")) {
      const { model_id: id } = JSON.parse(tag.textContent);
      if (states[id]?.model_module !== "anywidget") continue;
      const el = document.createElement("div");
      el.dataset.anywidget = "loading";
      tag.after(el);
      const { _esm, _css } = states[id].state;
      if (_css) dress(_css);
      load(_esm).then(async (widget) => {
        await widget.initialize?.({ model: model(id) });
        await widget.render({ model: model(id), el });
        el.dataset.anywidget = "ready";
      }).catch((error) => {
        console.error(error);
        Object.assign(el, { className: "live-only", role: "alert" }).dataset.anywidget = "failed";
        el.textContent = "This interactive figure could not be drawn. The console says why.";
      });
    }
  });
})();
