export const DEMO_PAGE = '';
export const DEMO_ICON = '';
