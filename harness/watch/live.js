// The live part of the page: asks the server where the runs are, and swaps the report when there is a new one.
(() => {
  "use strict";
  const SHOWN_MS = 1000, HIDDEN_MS = 15000, PATIENCE_MS = 20000, TOUCHED_MS = 4000;
  const live = document.getElementById("live");
  const one = (selector, of = live) => of.querySelector(selector);
  const isList = live.dataset.list === "1";
  const asked = location.search;
  const runs = new Map();  // job -> its section
  let version = live.dataset.version;
  let waiting = "";  // a version that is there and not shown
  let isHeld = false;
  let seenAt = null;
  let said = "";
  let timer = 0;
  let isBusy = false;
  let touched = -Infinity;  // when the reader last did something in the report

  const set = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const show = (element, is) => { element.hidden = !is; };
  const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

  // --- where the runs are

  function sectionOf(job) {
    if (!runs.has(job)) {
      const section = one("template").content.firstElementChild.cloneNode(true);
      const query = new URLSearchParams(asked);
      query.set("job", job);
      if (isList) one(".name", section).href = `?${query}`;
      set(one(".name", section), job);
      runs.set(job, section);
      one(".runs").append(section);
    }
    return runs.get(job);
  }

  function rows(table, all, classOf) {
    table.replaceChildren(...all.map(([texts, isMarked]) => {
      const row = document.createElement("tr");
      if (isMarked) row.className = classOf;
      row.append(...texts.map((text) => { const cell = document.createElement("td"); cell.textContent = text; return cell; }));
      return row;
    }));
  }

  function showRun(run) {
    const section = sectionOf(run.job);
    section.dataset.standing = run.standing;
    set(one(".standing", section), {unknown: "stored"}[run.standing] || run.standing);
    set(one(".sentence", section), run.sentence);
    set(one(".again", section), run.again);
    const bar = one("progress", section);
    show(one(".amount", section), run.num_total !== null || run.num_done !== null);
    show(bar, run.share !== null);
    if (run.share !== null) { bar.value = run.share; bar.title = `${Math.round(100 * run.share)} % of the work`; }
    bar.setAttribute("aria-label", `Work of ${run.job} that is done`);
    set(one(".cells", section), run.num_total === null ? "" : `${run.num_done} of ${counted(run.num_total, run.noun)}` +
      (run.num_failed ? `, ${counted(run.num_failed, "failure")}` : ""));
    one(".facts", section).replaceChildren(...run.facts.map(([name, value]) => {
      const fact = document.createElement("div");
      for (const [kind, text] of [["dt", name], ["dd", value]]) {
        const element = document.createElement(kind);
        element.textContent = text;
        fact.append(element);
      }
      return fact;
    }));
    const packs = one(".packs", section), failures = one(".failures", section);
    show(packs, run.standing === "running");
    set(one("summary", packs), `${counted(run.num_packs, "pack")} under way` +
      (run.packs.length < run.num_packs ? `; the ${run.packs.length} that were heard of longest ago` : ""));
    rows(one("tbody", packs), run.packs.map((pack) =>
      [[pack.what, pack.where, pack.since, `${pack.heard} ago${pack.is_silent ? ": silent" : ""}`], pack.is_silent]), "silent");
    if (!packs.hidden && packs.open) packs.style.minHeight = `${packs.offsetHeight}px`;  // so that what is below stays where it is
    show(failures, run.failures.length);
    set(one("summary", failures), `${counted(run.num_failed, "cell")} did not complete` +
      (run.failures.length < run.num_failed ? `; the first ${run.failures.length}` : ""));
    rows(one("tbody", failures), run.failures.map((failure) => [[failure.cell, failure.status, failure.error], false]), "");
  }

  // for those who listen: changes, and every tenth of the work; not every second
  function say(all) {
    const text = all.map((run) => `${run.job}: ${run.standing === "running"
      ? `running, ${run.share === null ? "" : `${10 * Math.floor(10 * run.share)} % done`}` : `${run.sentence} ${run.again}`}` +
      (run.num_failed ? `, ${counted(run.num_failed, "failure")}` : "")).join(" ");
    if (text !== said && !isList) set(one(".said"), text);
    said = text;
  }

  function problem(text) {
    set(one(".problem"), text);
    show(one(".problem"), text !== "");
  }

  // --- the report

  // what would be lost under the reader's hands: an open choice, a text half written, a selection to be copied
  function isInUse() {
    const report = document.getElementById("report");
    const active = document.activeElement, selection = getSelection();
    const isWriting = active && report.contains(active) && active.matches("input, textarea") && active.value !== "";
    const isSelecting = selection && !selection.isCollapsed && report.contains(selection.anchorNode);
    return performance.now() - touched < TOUCHED_MS || isWriting || isSelecting;
  }

  async function swap() {
    const answer = await fetch(`report${asked}`, {cache: "no-store", signal: AbortSignal.timeout(60000)});
    if (!answer.ok) return;
    const fresh = await answer.json();
    if (window.report) { await window.report.ready; await window.report.replace(fresh.body, JSON.parse(fresh.data)); }
    else document.getElementById("report").innerHTML = fresh.body;
    version = live.dataset.version = fresh.version;
    waiting = "";
    document.title = fresh.title;
    show(one(".fresh"), false);
  }

  async function follow(newest) {
    if (newest === null || newest === version) return;
    waiting = newest;
    const waits = isHeld || (version !== "" && isInUse());
    show(one(".fresh"), waits);
    if (!waits) await swap();
  }

  // --- life

  async function poll() {
    if (isBusy) return;
    isBusy = true;
    clearTimeout(timer);
    try {
      const answer = await fetch(`state${asked}`, {cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS)});
      if (!answer.ok) throw new Error((await answer.text()).trim());
      const state = await answer.json();
      seenAt = new Date();
      problem(state.problem ? `${state.problem.replace(/[.\s]+$/, "")}. It is tried again; what is shown is what was read last.` : "");
      for (const run of state.jobs || []) showRun(run);
      say(state.jobs || []);
      set(one(".cost"), state.reading);
      await follow(state.version);
    } catch (error) {
      const since = seenAt === null ? "" : ` What is shown is as of ${seenAt.toLocaleTimeString()}.`;
      problem(error instanceof TypeError || error.name === "TimeoutError"
        ? `The server of this page does not answer: it may have been stopped.${since} 'harness watch' starts it again.`
        : `${error.message}.${since}`);
    }
    isBusy = false;
    timer = setTimeout(poll, document.hidden ? HIDDEN_MS : SHOWN_MS);
  }

  one(".hold").addEventListener("click", (event) => {
    isHeld = !isHeld;
    event.target.setAttribute("aria-pressed", String(isHeld));
    poll();
  });
  one(".fresh").addEventListener("click", () => { if (waiting) swap().catch(poll); });
  for (const kind of ["pointerdown", "keydown", "input"])
    document.addEventListener(kind, (event) => { if (event.target.closest?.("#report")) touched = performance.now(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  live.classList.toggle("list", isList);
  addEventListener("DOMContentLoaded", poll);
})();
