(function () {
  var posts = document.getElementById("posts");
  var scheme = location.protocol === "https:" ? "wss://" : "ws://";
  var socket = new WebSocket(scheme + location.host + "/liveblog/");

  socket.onopen = function () {
    document.getElementById("state").textContent = "Online";
  };
  socket.onmessage = function (event) {
    var post = JSON.parse(event.data);
    var item = document.getElementById("post-" + post.id);
    if (!item) {
      item = posts.appendChild(document.createElement("li"));
      item.id = "post-" + post.id;
    }
    item.textContent = post.content;
  };
})();
