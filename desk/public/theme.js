// before anything is painted, so that a page whose theme was chosen does not flash in the other
try {
  const theme = localStorage.getItem("maitred.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is forbidden here: the system's theme it is
}
