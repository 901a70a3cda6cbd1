// The numbers of WASI preview 1.

/** The same in all scripts of a thread. */
const MARK = /* @__PURE__ */ Symbol.for('threadwork: an error of WASI');

/** What a call of WASI returns instead of success. No `Error`: each of those costs a look at the whole stack. */
export class Errno {
  constructor(errno) {
    this.errno = errno;
  }
}
Errno.prototype[MARK] = true;

/** Whether it is one; those of another script are, too. */
export const isErrno = (error) => error?.[MARK] === true;

export const FILE_TYPES = {
  unknown: 0,
  block: 1,
  character: 2,
  directory: 3,
  file: 4,
  socket: 6,
  symlink: 7,
};

export const OFLAGS = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 };
export const FDFLAGS = { APPEND: 1, DSYNC: 2, NONBLOCK: 4, RSYNC: 8, SYNC: 16 };

/** Rights, in the order of their bits. */
export const RIGHTS = /* @__PURE__ */ Object.fromEntries(
  [
    'DATASYNC',
    'READ',
    'SEEK',
    'SET_FLAGS',
    'SYNC',
    'TELL',
    'WRITE',
    'ADVISE',
    'ALLOCATE',
    'CREATE_DIRECTORY',
    'CREATE_FILE',
    'LINK_SOURCE',
    'LINK_TARGET',
    'OPEN',
    'READDIR',
    'READLINK',
    'RENAME_SOURCE',
    'RENAME_TARGET',
    'PATH_STAT',
    'PATH_RESIZE',
    'PATH_SET_TIMES',
    'STAT',
    'RESIZE',
    'SET_TIMES',
    'SYMLINK',
    'REMOVE_DIRECTORY',
    'UNLINK',
    'POLL',
    'SHUTDOWN',
    'ACCEPT',
  ].map((name, bit) => [name, 1 << bit]),
);

const rightsOf = (names) => names.split(' ').reduce((rights, name) => rights | RIGHTS[name], 0);

/** The rights that mean something for each kind of descriptor. */
export const RIGHTS_OF = {
  stream: /* @__PURE__ */ rightsOf('READ WRITE SET_FLAGS STAT POLL'),
  listener: /* @__PURE__ */ rightsOf('READ SET_FLAGS STAT POLL ACCEPT SHUTDOWN'),
  connection: /* @__PURE__ */ rightsOf('READ WRITE SET_FLAGS STAT POLL SHUTDOWN'),
  file: /* @__PURE__ */ rightsOf(
    'DATASYNC READ SEEK SET_FLAGS SYNC TELL WRITE ADVISE ALLOCATE STAT RESIZE SET_TIMES POLL',
  ),
  directory: /* @__PURE__ */ rightsOf(
    'DATASYNC SET_FLAGS SYNC ADVISE CREATE_DIRECTORY CREATE_FILE LINK_SOURCE LINK_TARGET OPEN READDIR ' +
      'READLINK RENAME_SOURCE RENAME_TARGET PATH_STAT PATH_RESIZE PATH_SET_TIMES STAT SET_TIMES ' +
      'SYMLINK REMOVE_DIRECTORY UNLINK',
  ),
};

/**
 * Rights to change something that is there, or what there is, but those that only take a file
 * that is open for writing. A link to a file in another directory, where it could be written to,
 * is such a change.
 */
export const CHANGES = /* @__PURE__ */ rightsOf(
  'SET_TIMES CREATE_DIRECTORY CREATE_FILE PATH_RESIZE PATH_SET_TIMES LINK_SOURCE LINK_TARGET ' +
    'REMOVE_DIRECTORY RENAME_SOURCE RENAME_TARGET SYMLINK UNLINK',
);

/**
 * The calls that use the file table. The order is the number by which a thread asks the
 * supervisor for one.
 */
export const FILE_CALLS = [
  'fd_advise',
  'fd_allocate',
  'fd_close',
  'fd_datasync',
  'fd_fdstat_get',
  'fd_fdstat_set_flags',
  'fd_fdstat_set_rights',
  'fd_filestat_get',
  'fd_filestat_set_size',
  'fd_filestat_set_times',
  'fd_pread',
  'fd_prestat_dir_name',
  'fd_prestat_get',
  'fd_pwrite',
  'fd_read',
  'fd_readdir',
  'fd_renumber',
  'fd_seek',
  'fd_sync',
  'fd_tell',
  'fd_write',
  'path_create_directory',
  'path_filestat_get',
  'path_filestat_set_times',
  'path_link',
  'path_open',
  'path_readlink',
  'path_remove_directory',
  'path_rename',
  'path_symlink',
  'path_unlink_file',
];

export const SOCKET_CALLS = ['sock_accept', 'sock_recv', 'sock_send', 'sock_shutdown'];

/** The calls that every thread serves by itself. */
const OWN_CALLS = [
  'args_get',
  'args_sizes_get',
  'clock_res_get',
  'clock_time_get',
  'environ_get',
  'environ_sizes_get',
  'poll_oneoff',
  'proc_exit',
  'proc_raise',
  'random_get',
  'sched_yield',
];

/** What the host defines for every program, as `module.name`. */
export const KNOWN_IMPORTS = /* @__PURE__ */ new Set([
  'wasi.thread-spawn',
  ...[...FILE_CALLS, ...SOCKET_CALLS, ...OWN_CALLS].map((name) => `wasi_snapshot_preview1.${name}`),
]);
