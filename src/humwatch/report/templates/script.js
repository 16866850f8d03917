"use strict";

// Tables: a click on a heading sorts by that column, a second click the other way round. Empty cells stay last.
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const column = heading.cellIndex;
    const body = heading.closest("table").tBodies[0];
    const down = heading.getAttribute("aria-sort") === "ascending" ||
      (heading.getAttribute("aria-sort") === "none" && heading.classList.contains("number"));
    for (const other of heading.parentNode.cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", heading.dataset.sorted === "up" || down && heading.dataset.sorted !== "down" ?
      "descending" : "ascending");
    heading.dataset.sorted = heading.getAttribute("aria-sort") === "descending" ? "down" : "up";
    const sign = heading.dataset.sorted === "down" ? -1 : 1;
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = Number(x) - Number(y);
      return sign * (Number.isNaN(order) ? x.localeCompare(y, undefined, { numeric: true }) : order);
    };
    body.append(...[...body.rows].sort(compare));
  });
}

// Clips: one plays at a time; a line in the spectrogram follows the sound; a click in the spectrogram goes there.
const clips = [...document.querySelectorAll(".clip")];
for (const clip of clips) {
  const audio = clip.querySelector("audio");
  const plot = clip.querySelector("svg");
  const line = plot.querySelector(".playhead");
  const left = Number(plot.dataset.left), width = Number(plot.dataset.width);
  const seconds = Number(plot.dataset.seconds);
  const follow = () => {
    const x = left + width * Math.min(audio.currentTime / seconds, 1);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    line.classList.add("there");
    if (!audio.paused && !audio.ended) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of clips) {
      const playing = other.querySelector("audio");
      if (playing !== audio) playing.pause();
    }
    follow();
  });
  audio.addEventListener("seeking", follow);
  plot.addEventListener("click", (event) => {
    const box = plot.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * plot.viewBox.baseVal.width;
    audio.currentTime = Math.max(0, Math.min(1, (x - left) / width)) * seconds;
    audio.play();
  });
}
