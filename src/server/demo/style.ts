export const DEMO_STYLE = '';
