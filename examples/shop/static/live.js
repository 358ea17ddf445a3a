// The line at the foot of the page: what happens in the shop, and that the session has ended.
"use strict";

const ENDED = 4401;
const line = document.getElementById("live");
const announcement = document.getElementById("announcement");

function say(text, state) {
  line.textContent = text;
  line.dataset.state = state;
  line.hidden = false;
}

function sayGoodbye() {
  say("You are logged out. ", "ended");
  const link = document.createElement("a");
  link.href = "/login?to=" + location.pathname;
  link.textContent = "Log in again";
  line.append(link);
}

function listen() {
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/live");
  socket.onmessage = (event) => {
    const news = JSON.parse(event.data);
    say(news.say, "live");
    if (news.announcement !== undefined) {
      announcement.textContent = news.announcement;
      announcement.hidden = !news.announcement;
    }
  };
  socket.onclose = (event) => {
    if (event.code === ENDED) {
      sayGoodbye();
    } else {
      say("Connecting again …", "away");
      setTimeout(listen, 2000);
    }
  };
}

listen();
