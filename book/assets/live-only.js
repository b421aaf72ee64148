// A page has no kernel, so a core widget cannot run in it: this says where it does.
// anywidgets carry their own code and need no kernel; they are left alone here.
addEventListener("DOMContentLoaded", () => {
  const tags = (kind) => document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`);
  const states = Object.assign({}, ...[...tags("state")].map((tag) => JSON.parse(tag.textContent).state));
  for (const tag of tags("view")) {
    const { model_id } = JSON.parse(tag.textContent);
    if (states[model_id]?.model_module === "anywidget") continue;
    const note = document.createElement("p");
    note.className = "live-only";
    note.innerHTML = "This slider is live in JupyterLab: run <code>make lab</code> and open this chapter.";
    tag.after(note);
  }
});
