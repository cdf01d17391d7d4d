/** The part of jstat that is used here; the package has no types of its own. */
declare module "jstat" {
  const jStat: {
    readonly studentt: {
      /** The quantile of Student's t with `degrees` of freedom, to about 8 significant digits. */
      inv(probability: number, degrees: number): number;
    };
  };
  export default jStat;
}
