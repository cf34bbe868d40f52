// Hostile input 307: a callback that throws ends the process with a message, and nothing goes on with what it has left.
#include "peer.h"

#include <stdexcept>
#include <string>
#include <csignal>
#include <sys/wait.h>

static int32_t throwing(const raddle_message_t *, void *) {
    throw std::runtime_error("thrown by a callback");
}

static void deciding(raddle_request_t *, void *) {
    throw std::runtime_error("thrown by a decision");
}

// What a child process does, which is not to come back.
static void child(uint32_t engine, bool at_request) {
    raddle_server_config_t *config = nullptr;
    raddle_server_t *server = nullptr;
    uint16_t port = 0;
    OK(raddle_server_config_new(&config));
    OK(raddle_server_config_listen(config, "127.0.0.1", 0, nullptr));
    OK(raddle_server_config_engine(config, engine));
    OK(raddle_server_config_callbacks(config, nullptr, throwing, nullptr, nullptr, nullptr, nullptr));
    if (at_request) OK(raddle_server_config_on_request(config, deciding, nullptr, nullptr));
    OK(raddle_server_new(config, &server));
    OK(raddle_server_start(server));
    OK(raddle_server_port(server, &port));
    int peer = peer_dial(port);
    peer_request(peer, "/", "");
    if (!at_request) {
        CHECK(peer_answer(peer, nullptr, 0) == 101);
        peer_send(peer, RADDLE_TEXT, "throw", 5);
    }
    if (engine == RADDLE_ENGINE_ACCEPT) {
        raddle_conn_t conn;
        raddle_server_accept(server, 10000, &conn);
    }
    for (int i = 0; i < 100; i++) pause_ms(100);
    _exit(0);
}

int main() {
    const struct {
        uint32_t engine;
        bool at_request;
    } cases[] = {
        {RADDLE_ENGINE_THREADS, false}, {RADDLE_ENGINE_POOL, false},  {RADDLE_ENGINE_THREADS, true},
        {RADDLE_ENGINE_POOL, true},     {RADDLE_ENGINE_ACCEPT, true},
    };
    for (const auto &one : cases) {
        int said[2];
        CHECK(pipe(said) == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            dup2(said[1], 2);
            close(said[0]);
            close(said[1]);
            child(one.engine, one.at_request);
        }
        close(said[1]);
        std::string text;
        char bytes[256];
        for (ssize_t count; (count = read(said[0], bytes, sizeof bytes)) > 0;) text.append(bytes, size_t(count));
        close(said[0]);
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || text.find("exception") == std::string::npos) {
            fprintf(stderr, "engine %u, request %d: status %x, %s\n", one.engine, one.at_request, status, text.c_str());
            return 1;
        }
    }
    return 0;
}
