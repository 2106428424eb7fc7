// Runs before the first paint, so that a chosen theme never flashes. Absent: the system's.
try {
  var theme = localStorage.getItem('dormouse.theme');
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
} catch (_) {
  // Storage is forbidden: the system's theme it is.
}
