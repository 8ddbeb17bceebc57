(function () {
  var lines = document.getElementById("lines");
  var state = document.getElementById("state");
  var text = document.getElementById("text");
  var bridge = new channels.WebSocketBridge();

  bridge.connect(location.pathname);
  bridge.listen(function (frame) {
    var line = document.createElement("li");
    if (frame.note) {
      line.className = "note";
      line.textContent = frame.name + " " + frame.note;
    } else {
      line.appendChild(document.createElement("b")).textContent = frame.name;
      line.appendChild(document.createElement("span")).textContent = frame.said;
    }
    lines.appendChild(line);
  });
  bridge.socket.addEventListener("open", function () {
    lines.textContent = ""; // the last lines come with each connection
    state.textContent = "Online";
  });
  bridge.socket.addEventListener("close", function () {
    state.textContent = "Offline";
  });

  document.getElementById("say").addEventListener("submit", function (event) {
    event.preventDefault();
    if (text.value && bridge.socket.readyState === WebSocket.OPEN) {
      bridge.send({ say: text.value });
      text.value = "";
    }
  });
})();
