(function () {
  var reports = document.getElementById("reports");
  var news = document.getElementById("news");
  var title = document.getElementById("title");
  var bridge = new channels.WebSocketBridge();

  function item(name) {
    var found = Array.prototype.find.call(reports.children, function (each) {
      return each.dataset.title === name;
    });
    if (!found) {
      found = reports.appendChild(document.createElement("li"));
      found.dataset.title = name;
    }
    return found;
  }

  bridge.connect("/reports/");
  bridge.listen(function (message) {
    var what = message.percent ? message.percent + " %" : message.state;
    if (message.state === "removed") item(message.title).remove();
    else item(message.title).textContent = message.title + ": " + ("lines" in message ? message.lines + " lines" : what);
    news.appendChild(document.createElement("li")).textContent = message.title + ": " + what;
  });
  bridge.socket.addEventListener("open", function () {
    document.getElementById("state").textContent = "Online";
  });

  document.getElementById("make").addEventListener("submit", function (event) {
    event.preventDefault();
    bridge.send({ make: title.value });
    title.value = "";
  });
})();
