// The report's acts: pictures of the chosen rows, a table of them, and the way from a mark to its row.
(() => {
  "use strict";
  const ALL = "";
  let data = {jobs: [], themes: {}};
  let jobs = [];

  // --- theme

  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themes = ["system", "light", "dark"];
  const kept = {
    get: () => { try { return localStorage.getItem("theme") || "system"; } catch { return "system"; } },
    set: (value) => { try { localStorage.setItem("theme", value); } catch { /* a file may have no storage */ } },
  };
  let theme = kept.get();
  const shade = () => (theme === "system" ? (dark.matches ? "dark" : "light") : theme);

  function applyTheme() {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    root.classList.toggle("dark", shade() === "dark");  // what DataTables looks at
    document.getElementById("theme").textContent =
      {system: "Theme: as the system", light: "Theme: light", dark: "Theme: dark"}[theme];
  }

  // --- what is chosen

  const choices = (form) => Object.fromEntries(form ? new FormData(form) : []);
  const byKey = (job, name, key) => job.options[name].find((option) => option.key === key)?.value;

  // whether a row is of what is chosen; a row without such a column is of every choice
  function isChosen(row, job, chosen, names) {
    return names.every((name) => {
      if (name === "metric" || !(name in chosen) || chosen[name] === ALL || !(name in row)) return true;
      return row[name] === byKey(job, name, chosen[name]);
    });
  }

  // --- pictures

  function withRows(node, rows) {
    if (Array.isArray(node)) return node.map((child) => withRows(child, rows));
    if (node === null || typeof node !== "object") return node;
    const copy = {};
    for (const [key, value] of Object.entries(node))
      copy[key] = key === "data" && value && value.name in rows
        ? {name: value.name, values: rows[value.name]} : withRows(value, rows);
    return copy;
  }

  // lays a picture out in a width: panels in as many columns as there is room for
  const LEAST_PANEL = 210, AXIS = 62, GAP = 18;
  function laidOut(spec, width, {aspect, height, columns: across}) {
    const high = (wide) => (height ? {height: 1.5 * height} : aspect ? {height: Math.min(330, Math.round(wide * aspect))} : {});
    const sized = (view, wide) => ({...view, width: wide, ...high(wide)});
    if (spec.facet && !spec.facet.row && !spec.facet.column) {
      const columns = Math.max(1, Math.min(spec.columns || 4, Math.floor(width / LEAST_PANEL)));
      const isOwn = spec.resolve && JSON.stringify(spec.resolve).includes("independent");  // an axis for each panel
      const taken = isOwn ? (AXIS + GAP) * columns : AXIS + 8 + GAP * (columns - 1);
      return {...spec, columns, spec: sized(spec.spec, Math.floor((width - taken) / columns))};
    }
    if (spec.facet) {  // rows and columns, as many as there are; on a narrow screen they are scrolled to
      const inner = Math.floor((width - AXIS - 20) / across) - GAP;
      return {...spec, spec: sized(spec.spec, Math.max(90, Math.min(230, inner)))};
    }
    for (const kind of ["hconcat", "concat", "vconcat"]) {
      if (!spec[kind]) continue;
      const {[kind]: children, columns, ...rest} = spec;
      const most = kind === "vconcat" ? 1 : kind === "hconcat" ? children.length : columns || children.length;
      const number = Math.max(1, Math.min(most, Math.floor(width / 300)));
      return {...rest, columns: number, concat: children.map((child) => laidOut(child, width / number - 12, {aspect, height, columns: across}))};
    }
    return sized(spec, Math.max(120, Math.floor(width - AXIS - 8)));
  }

  // how many names a legend has side by side, by the longest of them
  function legendColumns(spec, width) {
    let longest = 0;
    const look = (node) => {
      if (node === null || typeof node !== "object") return;
      const names = node.legend && node.scale?.domain;
      if (Array.isArray(names)) for (const name of names) longest = Math.max(longest, String(name).length);
      Object.values(node).forEach(look);
    };
    look(spec);
    return longest ? Math.max(1, Math.floor((width - AXIS) / (6.5 * longest + 34))) : undefined;
  }

  // a picture without panels, axes and all in a width
  const isSingle = (spec) => !spec.facet && !spec.hconcat && !spec.vconcat && !spec.concat;
  const fitted = (spec, width, {aspect, height}) => ({
    ...spec,
    width: width - 8,
    height: height ? 1.5 * height : Math.min(330, Math.round(width * (aspect || 0.6))),
    autosize: {type: "fit-x", contains: "padding"},
  });

  function draw(job, picture, spared = 0) {
    const chosen = choices(job.form);
    const spec = picture.specs[chosen.metric] || picture.specs[Object.keys(picture.specs)[0]];
    const rows = {};
    for (const [name, all] of Object.entries(job.tables))
      rows[name] = all.filter((row) => isChosen(row, job, chosen, picture.follows));
    const place = picture.figure.querySelector(".chart");
    const width = place.clientWidth;
    const filled = withRows(spec, rows);
    const whole = width < 60 ? spec : isSingle(filled) ? fitted(filled, width, picture) : laidOut(filled, width - spared, picture);
    const marks = Math.max(0, ...Object.values(rows).map((some) => some.length));
    const turn = (picture.turn = (picture.turn || 0) + 1);
    const theme_ = data.themes[shade()];
    const columns = legendColumns(whole, width);
    const config = columns ? {...theme_, legend: {...theme_.legend, columns}} : theme_;
    return vegaEmbed(place, {...whole, config}, {
      actions: {export: true, source: false, compiled: false, editor: false},
      renderer: marks > 4000 ? "canvas" : "svg",
      downloadFileName: `${job.name}-${picture.name}`,
    }).then(({view}) => {
      if (turn !== picture.turn) { view.finalize(); return null; }
      picture.view?.finalize();
      picture.view = view;
      const shown = place.querySelector("svg.marks, canvas.marks");
      const over = Math.ceil((shown?.getBoundingClientRect().width || 0) - width);
      if (over > 2 && spared === 0 && over < width / 2) return draw(job, picture, over);  // names take more than was thought
      shown?.setAttribute("role", "img");
      shown?.setAttribute("aria-label", picture.description);
      place.querySelector("summary")?.setAttribute("aria-label", "Save this picture");
      place.tabIndex = over > 2 ? 0 : -1;  // so that a keyboard can scroll it
      view.addEventListener("click", (event, item) => item && follow(job, item.datum, item.mark?.name || ""));
      return null;
    }).catch((error) => { place.textContent = `This picture cannot be drawn: ${error.message}`; });
  }

  // --- the table

  const rowId = (job, key) => `${job.article.id}-row-${key}`;

  const shownNumber = (value) => (typeof value === "number" && !Number.isInteger(value)
    ? (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(3)) : value);
  const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

  function renderCell(column, key) {
    return (row, type) => {  // a column's name may hold dots and brackets, in which DataTables sees a path
      const value = row[column.name];
      if (type !== "display") return value === null || value === undefined ? "" : value;
      if (value === null || value === undefined) return "-";
      if (column.name === key) return `<button type="button" class="link" data-row="${escaped(value)}">${escaped(String(value).slice(0, 8))}</button>`;
      return escaped(shownNumber(value));
    };
  }

  function makeTable(job) {
    const place = job.article.querySelector("table.table");
    if (!place || !window.DataTable) return;
    job.grid = new DataTable(place, {
      columns: job.columns.map((column) => ({
        data: null, type: column.number ? "num" : "string", title: escaped(column.label), render: renderCell(column, job.key), defaultContent: "-",
        className: column.number ? "dt-right" : "dt-left",
      })),
      data: [], pageLength: 10, lengthMenu: [10, 25, 100, 500], scrollX: true, order: [], autoWidth: false,
      layout: {topStart: "pageLength", topEnd: "search", bottomStart: "info", bottomEnd: "paging"},
      rowId: (row) => rowId(job, row[job.key]),
      language: {search: "Filter:", emptyTable: "No cell is of what is chosen."},
    });
    fillTable(job);
  }

  function fillTable(job) {
    if (!job.grid) return;
    const chosen = choices(job.form);
    const rows = job.rows.filter((row) => isChosen(row, job, chosen, Object.keys(chosen)));
    job.grid.clear().rows.add(rows).draw();
    const text = rows.length === job.rows.length ? `All ${rows.length} rows.` : `${rows.length} of ${job.rows.length} rows are of what is chosen.`;
    job.article.querySelector(".shown").textContent = text;
  }

  // from a mark to its row, or to the rows that it is the mean of
  function follow(job, datum, mark) {
    const isMean = datum.n !== undefined && !mark.includes("seeds");  // a mean carries one of its cells
    if (!isMean && datum[job.key] !== undefined && job.rows.some((row) => row[job.key] === datum[job.key])) { showRow(job, datum[job.key]); return; }
    let changed = false;
    for (const name of Object.keys(job.options)) {
      if (name === "metric" || !(name in datum)) continue;
      const option = job.options[name].find((one) => one.value === datum[name] && one.key !== ALL);
      if (option) { job.form.elements[name].value = option.key; changed = true; }
    }
    if (changed) { update(job); job.article.querySelector(".rows").scrollIntoView({block: "start"}); }
  }

  function showRow(job, key) {
    const row = job.rows.find((one) => String(one[job.key]) === String(key));
    if (!row || !job.grid) return;
    const chosen = choices(job.form);
    if (!isChosen(row, job, chosen, Object.keys(chosen))) {
      for (const name of Object.keys(job.options)) {
        const own = job.options[name].find((option) => option.key !== ALL && option.value === row[name]);
        if (name !== "metric" && own && chosen[name] !== ALL) job.form.elements[name].value = own.key;
      }
      update(job);
    }
    job.grid.search("");
    const order = job.grid.rows({order: "applied", search: "applied"}).data().toArray().indexOf(row);
    job.grid.page(Math.floor(order / job.grid.page.len())).draw("page");
    job.article.querySelectorAll("tr.chosen").forEach((one) => one.classList.remove("chosen"));
    const shown = document.getElementById(rowId(job, key));
    shown?.classList.add("chosen");
    const aside = job.article.querySelector("aside.row");
    const parts = job.details.filter((name) => row[name] !== null && row[name] !== undefined)
      .map((name) => `<div><dt>${escaped(name)}</dt><dd>${escaped(shownNumber(row[name]))}</dd></div>`);
    aside.innerHTML = `<h4>${escaped(job.key.replace("_id", ""))} ${escaped(key)}</h4>${row.error ? `<pre>${escaped(row.error)}</pre>` : ""}<dl>${parts.join("")}</dl>`;
    aside.hidden = false;
    (shown || aside).scrollIntoView({block: "center"});
    aside.focus({preventScroll: true});
    history.replaceState(null, "", `#${encodeURIComponent(rowId(job, key))}`);
  }

  // --- life

  function update(job) {
    for (const picture of job.pictures) draw(job, picture);
    fillTable(job);
  }

  // rows of a table that is kept by column, see page.py
  function unpacked(table) {
    const rows = Array.from({length: table.length}, () => ({}));
    for (const [name, column] of Object.entries(table.columns)) {
      if (Array.isArray(column)) column.forEach((value, place) => { rows[place][name] = value; });
      else column.at.forEach((code, place) => { if (code >= 0) rows[place][name] = column.of[code]; });
    }
    return rows;
  }

  function open(article) {
    const job = {...data.jobs[Number(article.dataset.job)], article, form: article.querySelector("form.controls")};
    job.tables = Object.fromEntries(Object.entries(job.tables).map(([name, table]) => [name, unpacked(table)]));
    job.rows = job.rows.map((values) => Object.fromEntries(job.details.map((name, place) => [name, values[place]])));
    job.pictures = job.pictures.map((picture, place) => ({...picture, figure: article.querySelector(`[data-picture="${place}"]`)}));
    job.form?.addEventListener("change", () => update(job));
    job.form?.addEventListener("submit", (event) => event.preventDefault());
    job.form?.addEventListener("reset", () => setTimeout(() => update(job)));
    article.addEventListener("click", (event) => {
      const link = event.target.closest("button[data-row]");
      if (link) showRow(job, link.dataset.row);
    });
    return job;
  }

  function start(fresh) {
    data = fresh;
    jobs = [...document.querySelectorAll("article.job")].map(open);
    for (const job of jobs) { makeTable(job); }
    return Promise.all(jobs.flatMap((job) => job.pictures.map((picture) => draw(job, picture))));
  }

  function fromHash() {
    let hash = "";
    try { hash = decodeURIComponent(location.hash.slice(1)); } catch { return; }  // no address of ours
    for (const job of jobs) {
      const start = rowId(job, "");
      if (hash.startsWith(start)) showRow(job, hash.slice(start.length));
    }
  }

  // what a reader has chosen other than a page begins with, by its value: keys are places in a list that may grow
  function changed(job) {
    const found = {};
    for (const select of job.form?.querySelectorAll("select") || []) {
      if (!select.selectedOptions[0]?.defaultSelected) found[select.name] = byKey(job, select.name, select.value);
    }
    return found;
  }

  // where in the table a reader is
  const placeIn = (job) => job.grid && {
    page: job.grid.page(), length: job.grid.page.len(), search: job.grid.search(), order: job.grid.order(),
    row: job.article.querySelector("tr.chosen")?.id,
  };
  function comeBack(job, place) {
    if (!job?.grid || !place) return;
    job.grid.page.len(place.length).search(place.search).order(place.order).draw();
    if (place.page < job.grid.page.info().pages) job.grid.page(place.page).draw("page");
    if (place.row) document.getElementById(place.row)?.classList.add("chosen");
  }

  // swaps the content, as a live page does; what the reader has chosen stays chosen
  function replace(body, fresh) {
    const before = jobs.map((job) => [job.name, changed(job), placeIn(job)]);
    for (const job of jobs) { job.pictures.forEach((picture) => picture.view?.finalize()); job.grid?.destroy(); }
    const top = scrollY;
    document.getElementById("report").innerHTML = body;
    for (const [name, chosen] of before) {
      const place = fresh.jobs.findIndex((job) => job.name === name);
      const form = document.querySelector(`article[data-job="${place}"] form.controls`);
      if (form) for (const [control, value] of Object.entries(chosen)) {
        const option = fresh.jobs[place].options[control]?.find((one) => one.value === value);
        if (option && form.elements[control]) form.elements[control].value = option.key;
      }
    }
    return start(fresh).then(() => {
      for (const [name, , place] of before) comeBack(jobs.find((job) => job.name === name), place);
      scrollTo(0, top);
    });
  }

  document.getElementById("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    kept.set(theme);
    applyTheme();
    jobs.forEach((job) => job.pictures.forEach((picture) => draw(job, picture)));
  });
  dark.addEventListener("change", () => { applyTheme(); jobs.forEach((job) => job.pictures.forEach((picture) => draw(job, picture))); });
  let resizing;
  let lastWidth = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === lastWidth) return;  // a phone's address bar comes and goes
    lastWidth = innerWidth;
    clearTimeout(resizing);
    resizing = setTimeout(() => jobs.forEach((job) => job.pictures.forEach((picture) => draw(job, picture))), 150);
  });
  addEventListener("hashchange", fromHash);

  applyTheme();
  window.report = {replace, ready: null, get jobs() { return jobs; }};
  window.report.ready = new Promise((resolve) => addEventListener("DOMContentLoaded", () =>  // after modules
    resolve(start(JSON.parse(document.getElementById("data").textContent)).then(fromHash))));
})();
