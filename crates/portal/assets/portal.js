// Makes the pages live. Every page works without this script.

for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;
enhance(document);
follow();

// Adds what plain HTML does not have to the elements below `root`.
function enhance(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!isNaN(at)) time.textContent = at.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
  }
  for (const button of root.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.onclick = async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    };
  }
  for (const slider of root.querySelectorAll("[data-twin]")) {
    const number = document.getElementById(slider.dataset.twin);
    slider.hidden = false;
    slider.oninput = () => { number.value = slider.value; };
    number.oninput = () => { slider.value = number.value; };
  }
  for (const search of root.querySelectorAll("[data-filter]")) {
    const choices = document.getElementById(search.dataset.filter).querySelectorAll("[data-words]");
    search.oninput = () => {
      const wanted = search.value.trim().toLowerCase();
      for (const choice of choices) choice.hidden = !choice.dataset.words.toLowerCase().includes(wanted);
    };
    search.onkeydown = (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      [...choices].find((choice) => !choice.hidden)?.querySelector("input").click();
    };
  }
}

// Requests the page again when the agent says that it has changed.
function follow() {
  const { live, revision } = document.body.dataset;
  if (!live) return;
  const feed = new EventSource(live + (live.includes("?") ? "&" : "?") + "from=" + revision);
  let due = false;
  const refresh = async () => {
    if (due) return;
    due = true;
    await new Promise((resolve) => setTimeout(resolve, 100));
    due = false;
    await replace().catch(() => say("The page could not be updated; it is tried again with the next event."));
  };
  feed.addEventListener("change", refresh);
  feed.addEventListener("observation", refresh);
  feed.onopen = () => say("live");
  feed.onerror = () => say("Not connected to this agent since " + new Date().toLocaleTimeString() + ". What you see may be old.");
}

// Replaces the parts that show the state. Open panels and forms stay as they are.
async function replace() {
  const response = await fetch(location.href, { headers: { accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live-part]")) {
    const fresh = page.querySelector(`[data-live-part="${part.dataset.livePart}"]`);
    if (!fresh || part.querySelector(":popover-open") || part.contains(document.activeElement)) continue;
    part.replaceWith(fresh);
    enhance(fresh);
  }
  const revision = page.getElementById("revision");
  if (revision) document.getElementById("revision").textContent = revision.textContent;
}

function say(text) {
  const place = document.getElementById("connection");
  if (place.textContent !== text) place.textContent = text;
}

// "/" and Ctrl-K jump to the search.
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, select, textarea");
  const jumps = (event.key === "/" && !isTyping) || (event.key === "k" && (event.ctrlKey || event.metaKey));
  if (!jumps) return;
  event.preventDefault();
  const search = document.querySelector("[data-jump]");
  if (search) search.focus();
  else location.assign("/");
});
