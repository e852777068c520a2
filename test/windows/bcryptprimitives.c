/* What Wine 8 lacks of bcryptprimitives.dll: the random numbers of Go programs. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) {
    for (SIZE_T done = 0; done < length;) {
        ULONG part = length - done < 1 << 20 ? (ULONG)(length - done) : 1 << 20;
        if (!RtlGenRandom(data + done, part)) return FALSE;
        done += part;
    }
    return TRUE;
}
