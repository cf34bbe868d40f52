/* TLS of a server: certificates that are missing, wrong, right, shown by clients, and replaced while connections go on. Needs openssl,
   which makes them. */
#include "test.h"

static char folder[] = "/tmp/raddle-tls-XXXXXX";

static void sh(const char *format, const char *name) {
    char command[2048], line[1024];
    snprintf(line, sizeof line, format, name, name, name, name, name);
    snprintf(command, sizeof command, "cd %s && (%s) > log 2>&1", folder, line);
    if (system(command) != 0) {
        fprintf(stderr, "%s has failed\n", command);
        abort();
    }
}

static const char *in_folder(const char *name) {
    static char paths[4][256];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* A certificate of our authority. */
static void make_certificate(const char *name) {
    sh("openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout %s.key -out %s.csr -subj /CN=%s", name);
    sh("printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > extensions &&"
       " openssl x509 -req -days 2 -in %s.csr -CA authority.pem -CAkey authority.key -CAcreateserial"
       " -extfile extensions -out %s.pem", name);
}

static size_t content(const char *name, uint8_t *place, size_t size) {
    FILE *file = fopen(in_folder(name), "rb");
    size_t length;
    CHECK(file != NULL);
    length = fread(place, 1, size, file);
    fclose(file);
    return length;
}

/* Names whoever has shown a certificate. */
static void name_client(raddle_request_t *request, void *user) {
    char name[64];
    uint8_t der[4096];
    size_t length = 0;
    (void)user;
    if (raddle_request_client_name(request, name, sizeof name, NULL) == RADDLE_OK) {
        OK(raddle_request_set_identity(request, name));
        OK(raddle_request_client_certificate(request, (char *)der, sizeof der, &length));
        CHECK(length > 100 && der[0] == 0x30);
    }
    raddle_request_accept(request);
}

static raddle_server_t *listening(raddle_server_tls_t *tls, uint16_t *port) {
    raddle_server_config_t *config = NULL;
    raddle_server_t *server = NULL;
    OK(raddle_server_config_new(&config));
    OK(raddle_server_config_listen(config, "127.0.0.1", 0, tls));
    OK(raddle_server_config_engine(config, RADDLE_ENGINE_POOL));
    OK(raddle_server_config_callbacks(config, NULL, echo, NULL, NULL, NULL, NULL));
    OK(raddle_server_config_on_request(config, name_client, NULL, NULL));
    OK(raddle_server_new(config, &server));
    OK(raddle_server_config_free(config));
    OK(raddle_server_start(server));
    OK(raddle_server_port(server, port));
    return server;
}

/* Connects to a server that is to be verified, perhaps as `name`; gives what has come of it. */
static int dial(uint16_t port, const char *name, raddle_conn_t *conn) {
    raddle_client_t *client = NULL;
    char url[64], file[64];
    int status;
    OK(raddle_client_new(&client));
    OK(raddle_client_without_system_roots(client));
    OK(raddle_client_add_roots_file(client, in_folder("authority.pem")));
    if (name != NULL) {
        static uint8_t chain[8192], key[8192];
        size_t chain_length, key_length;
        snprintf(file, sizeof file, "%s.pem", name);
        chain_length = content(file, chain, sizeof chain);
        snprintf(file, sizeof file, "%s.key", name);
        key_length = content(file, key, sizeof key);
        OK(raddle_client_certificate(client, chain, chain_length, key, key_length));
    }
    snprintf(url, sizeof url, "wss://localhost:%u/", port);
    status = raddle_connect(client, url, 10000, conn);
    OK(raddle_client_free(client));
    return status;
}

/* A client that does not trust the authority, or knows the server by another name, does not connect, unless it takes anybody. */
static void distrusting(uint16_t port) {
    raddle_client_t *client = NULL;
    raddle_conn_t conn = 0;
    char url[64];
    snprintf(url, sizeof url, "wss://localhost:%u/", port);
    OK(raddle_client_new(&client));
    OK(raddle_client_without_system_roots(client));
    STATUS(RADDLE_ERR_TLS, raddle_connect(client, url, 10000, &conn));
    OK(raddle_client_add_roots_file(client, in_folder("authority.pem")));
    OK(raddle_client_server_name(client, "example.com"));
    STATUS(RADDLE_ERR_TLS, raddle_connect(client, url, 10000, &conn));
    CHECK(conn == 0);
    OK(raddle_client_server_name(client, "localhost"));
    OK(raddle_connect(client, url, 10000, &conn));
    OK(raddle_conn_free(conn));
    OK(raddle_client_free(client));
    /* Plain text to a port of TLS is refused, in words that a plain client understands. */
    snprintf(url, sizeof url, "ws://localhost:%u/", port);
    STATUS(RADDLE_ERR_HANDSHAKE, raddle_connect(NULL, url, 10000, &conn));
    CHECK(raddle_connect_status() == 400);
    OK(raddle_client_new(&client));
    OK(raddle_client_without_system_roots(client));
    OK(raddle_client_dangerous_accept_any_certificate(client));
    snprintf(url, sizeof url, "wss://localhost:%u/", port);
    OK(raddle_connect(client, url, 10000, &conn));
    OK(raddle_conn_free(conn));
    OK(raddle_client_free(client));
}

static void exchange(raddle_conn_t conn) {
    raddle_message_t message;
    OK(raddle_send(conn, RADDLE_TEXT, (const uint8_t *)"secret", 6));
    OK(raddle_recv(conn, 10000, &message));
    CHECK(message.length == 6 && memcmp(message.data, "secret", 6) == 0);
}

int main(void) {
    raddle_server_tls_t *tls = NULL, *other = NULL;
    raddle_server_config_t *config = NULL;
    raddle_server_t *server;
    raddle_message_t message;
    raddle_conn_t first, second, listed_conn;
    static uint8_t chain[8192], key[8192], roots[8192];
    size_t chain_length, key_length, roots_length, listed = 0;
    uint16_t port;
    CHECK(mkdtemp(folder) != NULL);
    sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout %s.key -out %s.pem -subj /CN=%s -days 2",
       "authority");
    make_certificate("server");
    make_certificate("ada");

    /* What is missing or wrong is found out when a server is to listen, and named. */
    OK(raddle_server_config_new(&config));
    OK(raddle_server_tls_new(&tls));
    STATUS(RADDLE_ERR_STATE, raddle_server_tls_reload(tls));
    STATUS(RADDLE_ERR_TLS, raddle_server_config_listen(config, "127.0.0.1", 0, tls));
    OK(raddle_server_tls_certificate_files(tls, in_folder("none.pem"), in_folder("server.key")));
    STATUS(RADDLE_ERR_TLS, raddle_server_config_listen(config, "127.0.0.1", 0, tls));
    CHECK(strstr(raddle_last_error(), "none.pem") != NULL);
    OK(raddle_server_tls_free(tls));
    OK(raddle_server_tls_new(&tls));
    OK(raddle_server_tls_certificate_files(tls, in_folder("server.pem"), in_folder("ada.key")));
    STATUS(RADDLE_ERR_TLS, raddle_server_config_listen(config, "127.0.0.1", 0, tls));
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_tls_client_certificates(tls, 3, in_folder("authority.pem")));
    OK(raddle_server_tls_free(tls));
    OK(raddle_server_config_free(config));

    /* Of files, and replaced. */
    OK(raddle_server_tls_new(&tls));
    OK(raddle_server_tls_certificate_files(tls, in_folder("server.pem"), in_folder("server.key")));
    server = listening(tls, &port);
    STATUS(RADDLE_ERR_STATE, raddle_server_tls_certificate_files(tls, "more", "more"));
    OK(dial(port, NULL, &first));
    exchange(first);
    distrusting(port);
    sh("cp %s.pem before.pem && echo garbage > %s.pem", "server");
    STATUS(RADDLE_ERR_TLS, raddle_server_tls_reload(tls));
    OK(dial(port, NULL, &second));
    exchange(second);
    OK(raddle_conn_free(second));
    make_certificate("server");
    OK(raddle_server_tls_reload(tls));
    OK(dial(port, NULL, &second));
    exchange(second);
    exchange(first);
    /* And replaced by what another handle has. */
    OK(raddle_server_tls_new(&other));
    STATUS(RADDLE_ERR_TLS, raddle_server_tls_replace(tls, other));
    STATUS(RADDLE_ERR_STATE, raddle_server_tls_replace(other, other));
    STATUS(RADDLE_ERR_STATE, raddle_server_tls_replace(other, tls));
    OK(raddle_server_tls_certificate_files(other, in_folder("none.pem"), in_folder("server.key")));
    STATUS(RADDLE_ERR_TLS, raddle_server_tls_replace(tls, other));
    OK(raddle_server_tls_free(other));
    OK(raddle_conn_free(second));
    OK(dial(port, NULL, &second));
    exchange(second);
    OK(raddle_server_tls_new(&other));
    OK(raddle_server_tls_certificate_files(other, in_folder("server.pem"), in_folder("server.key")));
    roots_length = content("authority.pem", roots, sizeof roots);
    STATUS(RADDLE_ERR_ARGUMENT, raddle_server_tls_client_certificates_pem(other, 3, roots, roots_length));
    OK(raddle_server_tls_client_certificates_pem(other, RADDLE_CLIENT_CERTIFICATE_REQUIRED, roots, roots_length));
    OK(raddle_server_tls_replace(tls, other));
    OK(raddle_server_tls_free(other));
    exchange(first);
    OK(raddle_conn_free(second));
    OK(dial(port, "ada", &second));
    exchange(second);
    OK(raddle_server_connections(server, "ada", &listed_conn, 1, &listed));
    CHECK(listed == 1);
    OK(raddle_conn_free(first));
    OK(raddle_conn_free(second));
    OK(raddle_server_tls_free(tls));
    finish(server);

    /* Of bytes, with clients that have to show one. */
    OK(raddle_server_tls_new(&tls));
    chain_length = content("server.pem", chain, sizeof chain);
    key_length = content("server.key", key, sizeof key);
    OK(raddle_server_tls_certificate_pem(tls, chain, chain_length, key, key_length));
    OK(raddle_server_tls_client_certificates(tls, RADDLE_CLIENT_CERTIFICATE_REQUIRED, in_folder("authority.pem")));
    server = listening(tls, &port);
    /* With TLS 1.3 a client learns that it was refused after its own handshake. */
    if (dial(port, NULL, &first) == RADDLE_OK) {
        STATUS(RADDLE_ERR_CLOSED, raddle_recv(first, 10000, &message));
        OK(raddle_conn_free(first));
    }
    OK(dial(port, "ada", &first));
    exchange(first);
    OK(raddle_server_connections(server, "ada", &second, 1, &listed));
    CHECK(listed == 1);
    OK(raddle_conn_free(first));
    OK(raddle_server_tls_free(tls));
    finish(server);
    sh("rm -r ../%.0s\"${PWD##*/}\"", "");
    return 0;
}
