/* For xz: a pipe that nothing ever comes through.
 *
 * xz wants one for its signal handlers, to wake a wait for slow input, and stops where there is none. WASI
 * has neither pipes nor signals, so two descriptors that can be had will do.
 */
#include <fcntl.h>

int pipe(int ends[2])
{
    for (int n = 0; n < 2; n++) {
        ends[n] = open(".", O_RDONLY | O_DIRECTORY);
        if (ends[n] < 0)
            return -1;
    }
    return 0;
}
