// Found by the name of old.js.

export const at = import.meta.url;
