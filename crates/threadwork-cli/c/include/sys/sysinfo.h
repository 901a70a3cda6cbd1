/* The cores that the host tells of. */
#ifndef _THREADWORK_SYS_SYSINFO_H
#define _THREADWORK_SYS_SYSINFO_H
#ifdef __cplusplus
extern "C" {
#endif

int get_nprocs(void);
int get_nprocs_conf(void);

#ifdef __cplusplus
}
#endif
#endif
