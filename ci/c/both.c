/* A program with two Rust libraries: ours, and another one. */
#include <raddle.h>

int other_answer(void);

int main(void) {
    raddle_protocol_t *protocol = NULL;
    if (other_answer() != 42) return 1;
    if (raddle_protocol_server(NULL, &protocol) != RADDLE_OK) return 2;
    if (raddle_protocol_send(protocol, RADDLE_TEXT, NULL, 0) != RADDLE_ERR_STATE) return 3;
    return raddle_protocol_free(protocol) == RADDLE_OK && other_answer() == 42 ? 0 : 4;
}
