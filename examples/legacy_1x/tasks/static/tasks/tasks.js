(function () {
  var list = document.getElementById("tasks");
  var title = document.getElementById("title");
  var bridge = new channels.WebSocketBridge();

  function show(pk, task) {
    var item = list.querySelector('[data-pk="' + pk + '"]') || make(pk);
    item.querySelector("span").textContent = task.title;
    item.querySelector("input").checked = task.done;
    item.className = task.done ? "done" : "";
  }

  function make(pk) {
    var item = list.appendChild(document.createElement("li"));
    item.dataset.pk = pk;
    fill(item);
    return item;
  }

  function fill(item) {
    var box = document.createElement("input");
    var remove = document.createElement("button");
    item.textContent = "";
    item.append(box, document.createElement("span"), " ", remove);
    box.type = "checkbox";
    box.setAttribute("aria-label", "Done");
    box.onchange = function () {
      ask("update", item.dataset.pk, { done: box.checked });
    };
    remove.textContent = "Remove";
    remove.onclick = function () {
      ask("delete", item.dataset.pk);
    };
  }

  function ask(action, pk, data) {
    bridge.stream("tasks").send({ action: action, pk: pk, data: data });
  }

  list.querySelectorAll("li").forEach(function (item) {
    var task = { title: item.textContent, done: Boolean(item.dataset.done) };
    fill(item);
    show(item.dataset.pk, task);
  });

  bridge.connect("/tasks/");
  bridge.listen();
  bridge.demultiplex("tasks", function (payload) {
    if (payload.action === "delete") {
      list.querySelector('[data-pk="' + payload.pk + '"]').remove();
    } else {
      show(payload.pk, payload.data);
    }
  });
  bridge.socket.addEventListener("open", function () {
    document.getElementById("state").textContent = "Online";
  });

  document.getElementById("add").addEventListener("submit", function (event) {
    event.preventDefault();
    ask("create", null, { title: title.value });
    title.value = "";
  });
})();
