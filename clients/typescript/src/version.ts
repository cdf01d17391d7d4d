/** The version of this package. */
export const clientVersion = "0.1.0";
